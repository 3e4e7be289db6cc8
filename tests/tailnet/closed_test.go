package tailnet

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"

	"funnel-ingress/tests/lab"
)

// TestNothingOpens is a node of the tailnet that tries to open something towards the ingress, which serves it meanwhile and
// whose coordination server allows everything to everybody.
func TestNothingOpens(t *testing.T) { eachOfOurs(t, testNothingOpens) }

func testNothingOpens(t *testing.T, c coordination) {
	w := newWorld(t, c, nil)
	w.join(t)
	w.serveEcho(t, w.addNode(t, "web", alice, w.newTailscaled()))
	w.awaitServed(t, public("web"), joining)
	process := &lab.Tsnet{}
	other := w.addNode(t, "other", alice, process)
	var targets []netip.Addr
	lab.Eventually(t, "the other node knows the ingress", joining, func() bool {
		status, err := other.Client.Status(context.Background())
		lab.Must(t, err)
		for _, p := range status.Peer {
			if p.HostName == ingressHost {
				targets = p.TailscaleIPs
			}
		}
		return len(targets) > 0
	})
	for _, target := range targets {
		if !reaches(other, target) {
			t.Fatalf("%s does not even answer disco", target)
		}
		for _, port := range []uint16{22, 53, 80, 443, 8443, 41112, w.in.UDP.Port()} {
			if how, open := opens(process.Server, netip.AddrPortFrom(target, port)); open {
				t.Errorf("%s of port %d of %s", how, port, target)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if answer, err := other.Client.Ping(ctx, target, tailcfg.PingICMP); err == nil && answer.Err == "" {
			t.Errorf("%s answers ICMP", target)
		}
		cancel()
	}
	if got := lab.Say(t, lab.Visit(t, w.in.TLS[443], public("web")), "hello"); got != "hello" {
		t.Errorf("echo %q", got)
	}
}

// reaches says whether packets of the node arrive at all.
func reaches(n *lab.Node, target netip.Addr) bool {
	for end := time.Now().Add(joining); time.Now().Before(end); { // the ingress may not know the node yet, and a ping goes once
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		answer, err := n.Client.Ping(ctx, target, tailcfg.PingDisco)
		cancel()
		if err == nil && answer.Err == "" {
			return true
		}
	}
	return false
}

// opens tries TCP and UDP.
func opens(from *tsnet.Server, to netip.AddrPort) (how string, open bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if conn, err := from.Dial(ctx, "tcp", to.String()); err == nil {
		conn.Close()
		return "TCP", true
	}
	conn, err := from.Dial(ctx, "udp", to.String())
	if err != nil {
		return "", false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
	conn.Write([]byte("hello"))
	_, err = conn.Read(make([]byte, 64))
	return "UDP", err == nil
}
