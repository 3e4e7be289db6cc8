// Package tailnet proves the `tailnet` feed: funnel-ingress joins a coordination server as an ordinary node, and serves the
// stock nodes that it finds there. Nothing of the other side is patched.
//
//	visitor -> funnel-ingress -> UDP or DERP -> node (tsnet in this process, or a tailscaled of its own)
//	                |                             |
//	                +----- coordination server ---+     with DERP and STUN servers of the test's
//
//	coordination_test  what a scenario needs of a coordination server
//	testcontrol_test   ... Tailscale's in-memory one
//	headscale_test     ... headscale, whose binary HEADSCALE names (tests/run.sh builds one)
//	world_test         an ingress and nodes on one of them
//
// The rest are scenarios, a file a subject; each runs on every coordination server at hand. What other suites use too is in
// package lab. TAILNET_INGRESS=tsnet runs tests/bench/peers/tsnet-ingress in place of funnel-ingress: what fails then is the
// scenario, not the ingress. AWAY=5m makes the coordination server's absence last.
package tailnet
