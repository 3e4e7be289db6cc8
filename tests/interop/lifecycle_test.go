package interop

import (
	"net/netip"
	"testing"
	"time"

	"funnel-ingress/tests/lab"
)

// How long the first visitor after a restart may take: REKEY_TIMEOUT after the last handshake (5 s, WireGuard section
// 6.1; these tests restart right after one), and a busy machine's share. WireGuard's own timers would take 15 s.
const recovery = 7 * time.Second

// visitWithin is a visit that must be served, and soon.
func visitWithin(t *testing.T, in *Ingress, name string, limit time.Duration) {
	t.Helper()
	began := time.Now()
	if seen := lab.Ask(t, lab.Browser(t, in.TLS[443], false), name); seen.Host != name {
		t.Errorf("the site saw %+v", seen)
	}
	took := time.Since(began)
	t.Logf("served in %v", took.Round(time.Millisecond))
	if took > limit {
		t.Errorf("the visit took %v", took)
	}
}

// TestRestarts ends one side, with a session standing, and has the next visitor served.
func TestRestarts(t *testing.T) {
	tailnet, in := newTailnet(t), newIngress(t)
	web := tailnet.addNode("web", in, in.UDP)
	config := passthrough(t, web.Node)
	web.serve(t, config)
	in.rows = []map[string]any{web.row(nil)}
	in.start(t)
	visitWithin(t, in, web.Name, recovery)

	t.Run("the node comes back where it was", func(t *testing.T) {
		web.restart(t, false)
		web.serve(t, config)
		visitWithin(t, in, web.Name, recovery)
	})
	t.Run("the node comes back with another peerapi port and endpoint, and the feed says so", func(t *testing.T) {
		web.restart(t, true)
		web.serve(t, config)
		in.rows = []map[string]any{web.row(nil)}
		in.reload(t)
		visitWithin(t, in, web.Name, recovery)
	})
	t.Run("the ingress restarts", func(t *testing.T) {
		in.Stop(t)
		in.start(t)
		visitWithin(t, in, web.Name, recovery)
	})
	t.Run("the ingress crashes and restarts", func(t *testing.T) {
		for range 3 {
			in.Kill()
			in.start(t)
			visitWithin(t, in, web.Name, recovery)
		}
	})
	t.Run("the ingress comes back elsewhere", func(t *testing.T) {
		in.Stop(t)
		in.UDP = netip.AddrPortFrom(in.UDP.Addr(), uint16(lab.FreePort(t)))
		in.Config["wireguard"] = map[string]any{"listen": []string{in.UDP.String()}}
		in.start(t)
		web.ingress = ingressPeer(in, in.UDP)
		web.tell(t)
		visitWithin(t, in, web.Name, recovery)
	})
}
