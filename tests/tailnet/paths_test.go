package tailnet

import (
	"context"
	"testing"
	"time"

	"tailscale.com/envknob"
	"tailscale.com/tailcfg"

	"funnel-ingress/tests/lab"
)

// noUDP makes Tailscale's code say and answer nothing over UDP but STUN: what a node is like that no datagram reaches, behind
// a symmetric NAT for example.
const noUDP = "TS_DEBUG_NEVER_DIRECT_UDP"

// TestUpgrade has a node that is reached over DERP only, and then directly: new streams and one that began before. It is not
// parallel, because the knob is for all nodes of this process.
func TestUpgrade(t *testing.T) {
	alone(t, func(t *testing.T, c coordination) {
		if !c.grants() {
			t.Skip("a node of this process can't be made to accept its own user's ingress") // TestServe's goes direct there
		}
		w := newWorld(t, c, nil)
		w.join(t)
		envknob.Setenv(noUDP, "true") // only now: the ingress would inherit it
		t.Cleanup(func() { envknob.Setenv(noUDP, "") })
		web := w.addNode(t, "web", alice, &lab.Tsnet{})
		w.serveEcho(t, web)
		w.awaitServed(t, public("web"), joining)
		stream := lab.Visit(t, w.in.TLS[443], public("web"))
		for range 10 {
			if got := lab.Say(t, stream, "over DERP"); got != "over DERP" {
				t.Errorf("echo %q", got)
			}
		}
		if at := lab.Direct(t, web, ingressHost); at != "" {
			t.Errorf("the node finds the ingress at %s", at)
		}
		envknob.Setenv(noUDP, "")
		began := time.Now()
		lab.Eventually(t, "the node goes direct", 20*time.Second, func() bool {
			stream.SetDeadline(time.Now().Add(lab.VisitTimeout))
			return lab.Say(t, stream, "directly") == "directly" && lab.Direct(t, web, ingressHost) != ""
		})
		t.Logf("direct after %v", time.Since(began).Round(time.Millisecond))
		lab.Visit(t, w.in.TLS[443], public("web"))
	})
}

// TestRegionDies has two DERP regions and a node that is reached over DERP only, and takes its home region away.
func TestRegionDies(t *testing.T) { eachStarts(t, testRegionDies) }

func testRegionDies(t *testing.T, start starter) {
	regions := map[string]*lab.Region{"r1": lab.NewRegion(t, 1), "r2": lab.NewRegion(t, 2)}
	w := newWorld(t, start(t, regions["r1"], regions["r2"]), nil)
	w.join(t)
	daemon := w.newTailscaled()
	daemon.Env = append(daemon.Env, noUDP+"=true")
	web := w.addNode(t, "web", alice, daemon)
	w.serveEcho(t, web)
	w.awaitServed(t, public("web"), joining)
	relay := func() string {
		status, err := web.Client.StatusWithoutPeers(context.Background())
		lab.Must(t, err)
		return status.Self.Relay
	}
	home := relay()
	regions[home].Die()
	began := time.Now()
	lab.Eventually(t, "the node moves to the other region", 60*time.Second, func() bool { return relay() != home })
	t.Logf("the node moved after %v", time.Since(began).Round(time.Millisecond))
	w.awaitServed(t, public("web"), joining)
}

// TestRelayWithoutAddress has a region among the others whose relay has a name that no resolver even asks for.
func TestRelayWithoutAddress(t *testing.T) {
	t.Parallel()
	c := newTestcontrol(t, lab.NewRegion(t, 1))
	c.DERPMap.Regions[2] = &tailcfg.DERPRegion{RegionID: 2, RegionCode: "r2",
		Nodes: []*tailcfg.DERPNode{{Name: "2a", RegionID: 2, HostName: "no..name"}}}
	w := newWorld(t, c, nil)
	w.join(t)
	w.passthrough(t, w.addNode(t, "web", alice, w.newTailscaled()))
	w.awaitServed(t, public("web"), joining)
}
