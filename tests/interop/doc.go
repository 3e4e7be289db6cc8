// Package interop proves the ingress against other people's code, unmodified.
//
//	visitor (crypto/tls) -> funnel-ingress (the real program) -> WireGuard -> node
//
// A node is either Tailscale's own, as tsnet runs it in this process (its WireGuard, its gVisor TCP, its peerapi, its
// serve code), or a bare wireguard-go or boringtun peer that speaks the peerapi. Tailscale's in-memory coordination
// server, testcontrol, tells stock nodes about the ingress exactly what docs/tailscale.md asks of an operator's, and
// what it knows of them is exported as the ingress's feed. Nothing leaves loopback.
//
//	main_test       environment: programs, test authority, what keeps Tailscale's code off the network
//	authority_test  certificates that visitors and nodes trust
//	ingress_test    funnel-ingress: configuration, reload, access log
//	tailnet_test    coordination server, DERP, STUN; the netmap as nodes see it, and as our feed
//	node_test       a stock node: start, restart, serve configuration, netmap
//	peer_test       a wireguard-go node: our own peerapi on gVisor TCP, session by session
//	wire_test       the UDP way between a node and the ingress: NAT, counting, cutting
//	visitor_test    visitors and their verdicts
//	backend_test    what stands behind nodes
//
// The rest are tests, a file a subject. FUNNEL_BIN says where the programs are; build/asan without it.
package interop
