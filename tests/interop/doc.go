// Package interop proves the ingress against other people's code, unmodified.
//
//	visitor (crypto/tls) -> funnel-ingress (the real program) -> WireGuard -> node
//
// A node is either Tailscale's own, run by tsnet in this process or as a tailscaled of its own (its WireGuard, its
// gVisor TCP, its peerapi, its serve code), or a bare wireguard-go or boringtun peer that speaks the peerapi. Tailscale's
// in-memory coordination server, testcontrol, tells stock nodes about the ingress exactly what docs/tailscale.md asks of
// an operator's, and what it knows of them is exported as the ingress's feed. Nothing leaves loopback.
//
//	ingress_test    the ingress of these tests: an identity, listeners, a feed file
//	tailnet_test    the netmap as nodes see it, and as our feed
//	node_test       a stock node: netmap, restart, feed row
//	peer_test       a wireguard-go node: our own peerapi on gVisor TCP, session by session
//	wire_test       the UDP way between a node and the ingress: NAT, counting, cutting
//
// What is of use elsewhere is in package lab. The rest are tests, a file a subject.
package interop
