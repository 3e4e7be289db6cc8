package interop

import (
	"testing"
	"time"

	"funnel-ingress/tests/lab"
)

// TestNAT is about a node that nobody reaches unless it speaks first. A stock node never calls a WireGuard-only peer by
// itself; control's PingRequest makes it, and from then on the ingress holds the way open.
func TestNAT(t *testing.T) {
	t.Parallel()
	tailnet, in := newTailnet(t), newIngress(t)
	in.Config["offer"] = map[string]any{"timeout": "2s"}
	in.Config["wireguard"] = map[string]any{"listen": []string{in.UDP.String()}, "keepalive": "1s"}
	nat := newWire(t, in.UDP)
	home := tailnet.addNode("home", in, udpAddress(nat.inside))
	home.serve(t, passthrough(t, home.Node))
	in.rows = []map[string]any{home.row(map[string]any{"endpoints": []string{}})}
	in.start(t)
	called := func(t *testing.T) {
		t.Helper()
		mark := len(in.Log())
		home.callIngress(t)
		in.WaitLog(t, ` session event=up `, mark)
	}

	t.Run("out of reach until it calls", func(t *testing.T) {
		verdict, line := in.Verdict(t, 443, home.Name)
		if verdict != lab.InternalError || line.Reason != "node_no_session" {
			t.Errorf("%s, %s", verdict, line.Reason)
		}
	})
	t.Run("a PingRequest makes it call", func(t *testing.T) {
		called(t)
		visitWithin(t, in, home.Name, time.Second)
	})
	t.Run("keepalives hold the way open", func(t *testing.T) {
		before := nat.toNode.Load()
		time.Sleep(3500 * time.Millisecond)
		if sent := nat.toNode.Load() - before; sent < 3 || sent > 8 {
			t.Errorf("%d datagrams in 3.5 s with a keepalive of 1 s", sent)
		}
		visitWithin(t, in, home.Name, time.Second)
	})
	t.Run("the NAT forgets, the node calls from elsewhere", func(t *testing.T) {
		nat.forget()
		lab.Eventually(t, "the node calls and is served", 20*time.Second, func() bool {
			home.callIngress(t)
			verdict, _ := in.Verdict(t, 443, home.Name)
			return verdict == lab.Served
		})
	})
	t.Run("the ingress restarts, the node calls", func(t *testing.T) {
		in.Stop(t)
		in.start(t)
		lab.Eventually(t, "the node notices that its session is gone", 25*time.Second, func() bool {
			home.callIngress(t)
			verdict, _ := in.Verdict(t, 443, home.Name)
			return verdict == lab.Served
		})
	})
}

// TestKeepalive shows that only nodes which need it hear from an idle ingress.
func TestKeepalive(t *testing.T) {
	t.Parallel()
	tailnet, in := newTailnet(t), newIngress(t)
	in.Config["wireguard"] = map[string]any{"listen": []string{in.UDP.String()}, "keepalive": "1s"}
	wire := newWire(t, in.UDP)
	web := tailnet.addNode("web", in, udpAddress(wire.inside))
	web.serve(t, passthrough(t, web.Node))
	wire.node = lab.AddrPort(web.announcedOnLoopback(t))
	settle := 500 * time.Millisecond
	for _, keepalive := range []bool{false, true, false} {
		in.rows = []map[string]any{web.row(map[string]any{
			"endpoints": []string{udpAddress(wire.outside).String()}, "keepalive": keepalive})}
		if !in.Runs() {
			in.start(t)
		} else {
			in.reload(t)
		}
		lab.Ask(t, lab.Browser(t, in.TLS[443], false), web.Name)
		time.Sleep(settle) // to the end of the stream; a handshake that the keepalive asked for may be due 5 s later
		settle = 6 * time.Second
		before := wire.toNode.Load()
		time.Sleep(3500 * time.Millisecond)
		if sent := wire.toNode.Load() - before; (sent >= 3) != keepalive || !keepalive && sent > 0 {
			t.Errorf("keepalive %v: %d datagrams in 3.5 s of nothing", keepalive, sent)
		}
	}
}
