package interop

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"tailscale.com/ipn"

	"funnel-ingress/tests/lab"
)

// TestWarm has a stock node serve visitors through connections that were opened ahead of them (offer.warm).
func TestWarm(t *testing.T) {
	t.Parallel()
	const warm = 2
	tailnet, in := newTailnet(t), newIngress(t)
	in.Config["offer"] = map[string]any{"warm": warm}
	web := tailnet.addNode("web", in, in.UDP)
	config := &ipn.ServeConfig{
		AllowFunnel: map[ipn.HostPort]bool{hostPort(web.Name, 443): true, hostPort(web.Name, 5001): true},
		TCP: map[uint16]*ipn.TCPPortHandler{
			443:  {TCPForward: lab.TLSSite(t, web.Name)},
			5001: {TCPForward: lab.ServeConns(t, lab.TellsVisitor(lab.CA.Issue(t, web.Name))), ProxyProtocol: 1},
		},
	}
	web.serve(t, config)
	in.rows = []map[string]any{web.row(nil)}
	in.start(t)

	ready := func() int { return in.Metric(t, "warm_connections") }
	offers := func(result string) int { return in.Metric(t, `warm_offers_total{result="`+result+`"}`) }
	visit := func() {
		t.Helper()
		conn := lab.Dial(t, in.TLS[5001])
		fields := strings.Fields(lab.Hear(t, tls.Client(conn, lab.Trusting(web.Name))))
		if len(fields) != 4 || fields[2] != conn.LocalAddr().String() {
			t.Errorf("the node was told %q of %v", fields, conn.LocalAddr())
		}
	}
	heat := func() {
		t.Helper()
		for range 2 {
			visit()
		}
		lab.Eventually(t, "connections are there", 20*time.Second, func() bool { return ready() == warm })
	}

	t.Run("each visitor has one of its own", func(t *testing.T) {
		heat()
		for range 4 {
			visit()
			lab.Eventually(t, "there are as many again", 20*time.Second, func() bool { return ready() == warm })
		}
		if hits, stale := offers("hit"), offers("stale"); hits != 4 || stale != 0 {
			t.Errorf("%d hits, %d of them stale", hits, stale)
		}
	})
	t.Run("the node leaves them open", func(t *testing.T) {
		began, lasted := time.Now(), time.Duration(0)
		for ready() == warm && lasted < 75*time.Second {
			time.Sleep(time.Second)
			lasted = time.Since(began)
		}
		if lasted < 50*time.Second || lasted >= 75*time.Second { // the ingress closes them after a minute (ingress/warm.h)
			t.Errorf("they lasted %v", lasted)
		}
		lab.Eventually(t, "all are closed", 20*time.Second, func() bool { return ready() == 0 })
	})
	t.Run("the node restarts", func(t *testing.T) {
		heat()
		web.restart(t, false)
		web.serve(t, config)
		visitWithin(t, in, web.Name, recovery)
		t.Logf("%d were dead", offers("stale"))
	})
}
