package tailnet

import (
	"regexp"
	"testing"

	"tailscale.com/tailcfg"

	"funnel-ingress/tests/lab"
)

// TestLogin has no key to join with: somebody has to open a URL, which the ingress says.
func TestLogin(t *testing.T) { each(t, testLogin) }

func testLogin(t *testing.T, c coordination) {
	if control, ok := c.(*testcontrol); ok {
		control.RequireAuth = true
	}
	w := newWorld(t, c, map[string]any{"auth_key_file": nil})
	mark := w.in.Launch(t)
	url := w.loginURL(t, mark)
	w.approve(t, url, alice)
	w.owner(t, ingressHost, alice)
	if control, ok := c.(*testcontrol); ok {
		control.RequireAuth = false
	}
	w.passthrough(t, w.addNode(t, "web", alice, w.newTailscaled()))
	w.awaitServed(t, public("web"), joining)
}

// TestStatus is what the operator sees: who the source is, the relays, how each node is reached; and what is wrong, when the
// coordination server is away.
func TestStatus(t *testing.T) { eachOfOurs(t, testStatus) }

func testStatus(t *testing.T, c coordination) {
	w := newWorld(t, c, nil)
	w.join(t)
	web := w.addNode(t, "web", alice, w.newTailscaled())
	w.serveEcho(t, web)
	w.awaitServed(t, public("web"), joining)
	stream := lab.Visit(t, w.in.TLS[443], public("web"))
	defer stream.Close()
	shows := func(status int, lines ...string) {
		t.Helper()
		text := ""
		defer func() {
			if t.Failed() {
				t.Logf("status said:\n%s", text)
			}
		}()
		lab.Eventually(t, "status shows it all", joining, func() bool {
			var got int
			text, got = w.in.Command(t, "status")
			for _, line := range lines {
				if !regexp.MustCompile("(?m)^" + line + "$").MatchString(text) {
					return false
				}
			}
			return got == status
		})
	}
	shows(0, `ingress     serving, .*`, `feed        current \(tailnet\), last heard \d+ s ago`,
		`source      `+regexp.QuoteMeta(w.url())+`, connected`, `nodes       1, 1 connected, 0 left out, 1 streams`,
		`relays      home region 1 \(.* ms\), 1 connected`, `paths       \d+ in the tailnet, \d+ talked to, \d+ directly`,
		` *`+web.Key.String()+`  direct 127\.0\.0\.1:\d+ .* ms`)
	w.away()
	shows(0, `source      `+regexp.QuoteMeta(w.url())+`, retrying.*`, `nodes       1, 1 connected, 0 left out, 1 streams`)
}

// TestKey has a coordination server that lets nobody in without its key.
func TestKey(t *testing.T) {
	t.Parallel()
	c := newTestcontrol(t, lab.NewRegion(t, 1))
	c.RequireAuthKey = joinKey
	w := newWorld(t, c, nil)
	w.join(t)
	w.passthrough(t, w.addNode(t, "web", alice, &lab.Tsnet{}))
	w.awaitServed(t, public("web"), joining)
}

// TestOwnIngress has a node that nobody granted anything: by its environment it accepts an ingress of its own user, and no
// other. With headscale all scenarios are like that.
func TestOwnIngress(t *testing.T) {
	t.Parallel()
	c := newTestcontrol(t, lab.NewRegion(t, 1))
	w := newWorld(t, c, nil)
	w.join(t)
	node := w.addNode(t, "web", alice, &lab.Tailscaled{Env: []string{selfIngress}})
	w.passthrough(t, node)
	w.awaitServed(t, public("web"), joining)
	// from here on the node is told of the ingress as it is now, and that it may do nothing
	tell := func(owner tailcfg.UserID) {
		t.Helper()
		netmap, err := c.MapResponse(&tailcfg.MapRequest{NodeKey: node.Key})
		lab.Must(t, err)
		netmap.PacketFilter, netmap.PacketFilters = nil, map[string][]tailcfg.FilterRule{"*": nil, "base": {}}
		for _, peer := range netmap.Peers {
			peer.User = owner
		}
		if !c.AddRawMapResponse(node.Key, netmap) {
			t.Fatal("the node does not listen to control")
		}
	}
	tell(c.user(bob))
	lab.Eventually(t, "another user's ingress is refused", joining, func() bool {
		verdict, line := w.in.Verdict(t, 443, public("web"))
		return verdict == lab.AccessDenied && line.Reason == "node_no_cap"
	})
	tell(c.user(alice))
	w.awaitServed(t, public("web"), joining)
}
