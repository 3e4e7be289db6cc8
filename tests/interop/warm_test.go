package interop

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"tailscale.com/ipn"

	"funnel-ingress/tests/lab"
)

// A stock node that serves visitors through connections that were opened ahead of them (offer.warm).
type warmNode struct {
	*Node
	in     *Ingress
	config *ipn.ServeConfig
}

const warm = 2

func newWarmNode(t *testing.T) *warmNode {
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
	return &warmNode{web, in, config}
}

func (w *warmNode) ready(t *testing.T) int { return w.in.Metric(t, "warm_connections") }

func (w *warmNode) offers(t *testing.T, result string) int {
	return w.in.Metric(t, `warm_offers_total{result="`+result+`"}`)
}

func (w *warmNode) visit(t *testing.T) {
	t.Helper()
	conn := lab.Dial(t, w.in.TLS[5001])
	fields := strings.Fields(lab.Hear(t, tls.Client(conn, lab.Trusting(w.Name))))
	if len(fields) != 4 || fields[2] != conn.LocalAddr().String() {
		t.Errorf("the node was told %q of %v", fields, conn.LocalAddr())
	}
}

func (w *warmNode) heat(t *testing.T) {
	t.Helper()
	for range 2 {
		w.visit(t)
	}
	lab.Eventually(t, "connections are there", 20*time.Second, func() bool { return w.ready(t) == warm })
}

func TestWarm(t *testing.T) {
	t.Parallel()
	web := newWarmNode(t)

	t.Run("each visitor has one of its own", func(t *testing.T) {
		web.heat(t)
		for range 4 {
			web.visit(t)
			lab.Eventually(t, "there are as many again", 20*time.Second, func() bool { return web.ready(t) == warm })
		}
		if hits, stale := web.offers(t, "hit"), web.offers(t, "stale"); hits != 4 || stale != 0 {
			t.Errorf("%d hits, %d of them stale", hits, stale)
		}
	})
	t.Run("the node leaves them open", func(t *testing.T) {
		began, lasted := time.Now(), time.Duration(0)
		for web.ready(t) == warm && lasted < 75*time.Second {
			time.Sleep(time.Second)
			lasted = time.Since(began)
		}
		if lasted < 50*time.Second || lasted >= 75*time.Second { // the ingress closes them after a minute (ingress/warm.h)
			t.Errorf("they lasted %v", lasted)
		}
		lab.Eventually(t, "all are closed", 20*time.Second, func() bool { return web.ready(t) == 0 })
	})
}

// TestWarmRestart is not parallel: nodes of other tests would be after the same peerapi port while this one is away.
func TestWarmRestart(t *testing.T) {
	web := newWarmNode(t)
	web.heat(t)
	web.restart(t, false)
	web.serve(t, web.config)
	dead := web.ready(t) // unless the node said so when it went
	visitWithin(t, web.in, web.Name, recovery)
	if stale := web.offers(t, "stale"); dead > 0 && stale == 0 {
		t.Errorf("of %d dead connections none was found out", dead)
	}
}
