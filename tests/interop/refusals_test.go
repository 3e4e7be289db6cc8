package interop

import (
	"testing"
	"time"

	"tailscale.com/ipn"
	"tailscale.com/tailcfg"

	"funnel-ingress/tests/lab"
)

// passthrough is the serve configuration of a node that forwards TLS on port 443 to a site of its own.
func passthrough(t testing.TB, n *lab.Node) *ipn.ServeConfig {
	return &ipn.ServeConfig{
		AllowFunnel: map[ipn.HostPort]bool{hostPort(n.Name, 443): true},
		TCP:         map[uint16]*ipn.TCPPortHandler{443: {TCPForward: lab.TLSSite(t, n.Name)}},
	}
}

// TestRefusals shows each way in which a stock node does not take a visitor: the visitor's alert, the reason in the
// log, its metric, and that the next visitor is served once the cause is gone.
func TestRefusals(t *testing.T) {
	t.Parallel()
	tailnet, in := newTailnet(t), newIngress(t)
	in.Config["offer"] = map[string]any{"timeout": "2s"}
	web := tailnet.addNode("web", in, in.UDP)
	config := passthrough(t, web.Node)
	config.AllowFunnel[hostPort(web.Name, 8443)] = true // and nobody there
	config.AllowFunnel[hostPort(web.Name, 10000)] = true
	config.TCP[10000] = &ipn.TCPPortHandler{TCPForward: "127.0.0.1:9"} // nobody there either
	web.serve(t, config)
	in.rows = []map[string]any{web.row(nil)}
	in.start(t)
	servedAgain := func(t *testing.T) {
		t.Helper()
		lab.Eventually(t, "the node serves again", 15*time.Second, func() bool {
			verdict, _ := in.Verdict(t, 443, web.Name)
			return verdict == lab.Served
		})
	}
	servedAgain(t)

	for _, c := range []struct {
		what          string
		change, undo  func(*testing.T)
		port          int
		alert, reason string
	}{
		{"no capability", grant(web, Grant{}), grant(web, Grant{true, true}), 443, lab.AccessDenied, "node_no_cap"},
		{"the node can't tell who the ingress is", owner(web, 0), owner(web, ingressUser),
			443, lab.InternalError, "node_unknown_peer"},
		{"name and port are not in AllowFunnel", nil, nil, 4443, lab.UnrecognizedName, "node_denied"},
		{"nothing is served on the port", nil, nil, 8443, lab.UnrecognizedName, "node_denied"},
		{"no peerapi at the feed's port", rows(in, web, map[string]any{"peerapi4": 9, "peerapi6": 9}), rows(in, web, nil),
			443, lab.InternalError, "node_unreachable"},
		{"the node has no funnel on", func(t *testing.T) {
			web.serve(t, &ipn.ServeConfig{})
			rows(in, web, nil)(t)
		}, func(t *testing.T) {
			web.serve(t, config)
			rows(in, web, nil)(t)
		}, 443, lab.UnrecognizedName, "not_opted_in"},
		{"and the feed did not know", func(t *testing.T) {
			web.serve(t, &ipn.ServeConfig{})
			rows(in, web, map[string]any{"funnel": map[string]any{"admin": true, "node": "ask"}})(t)
		}, func(t *testing.T) {
			web.serve(t, config)
			rows(in, web, nil)(t)
		}, 443, lab.UnrecognizedName, "node_denied"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if c.change != nil {
				c.change(t)
			}
			checkRefused(t, in, c.port, web.Name, c.alert, c.reason)
			if c.undo != nil {
				c.undo(t)
			}
			servedAgain(t)
		})
	}

	t.Run("what the node forwards to is down: seen after the 101 only", func(t *testing.T) {
		verdict, line := in.Verdict(t, 10000, web.Name)
		if verdict != lab.Closed || line.BytesDown != 0 || line.Reason != "ok" && line.Reason != "node_reset" {
			t.Errorf("%s, %+v", verdict, line)
		}
	})
	t.Run("the node was not told of the ingress", func(t *testing.T) {
		stranger := tailnet.addNode("stranger", in, in.UDP)
		stranger.ingress = nil
		stranger.tell(t)
		stranger.serve(t, passthrough(t, stranger.Node))
		in.rows = []map[string]any{stranger.row(nil)}
		in.reload(t)
		checkRefused(t, in, 443, stranger.Name, lab.InternalError, "node_no_session")
		stranger.ingress = ingressPeer(in, in.UDP)
		stranger.tell(t)
		began := time.Now()
		lab.Eventually(t, "it is told, and serves", 15*time.Second, func() bool {
			verdict, _ := in.Verdict(t, 443, stranger.Name)
			return verdict == lab.Served
		})
		t.Logf("served %v after it was told", time.Since(began).Round(time.Millisecond))
	})
	t.Run("forgotten by the node in mid-session, and known again", func(t *testing.T) {
		in.rows = []map[string]any{web.row(nil)}
		in.reload(t)
		servedAgain(t)
		web.ingress = nil
		web.tell(t)
		if verdict, _ := in.Verdict(t, 443, web.Name); verdict != lab.InternalError {
			t.Errorf("verdict %s", verdict)
		}
		web.ingress = ingressPeer(in, in.UDP)
		web.tell(t)
		servedAgain(t)
	})
}

// checkRefused has a visitor refused, and compares what the three are told who want to know: the visitor by an alert, the
// access log by a reason, the metrics by one more of it.
func checkRefused(t *testing.T, in *Ingress, port int, name, alert, reason string) {
	t.Helper()
	before := in.Ended(t, reason)
	verdict, line := in.Verdict(t, port, name)
	if verdict != alert || line.Reason != reason {
		t.Errorf("%s, %s; not %s, %s", verdict, line.Reason, alert, reason)
	}
	if counted := in.Ended(t, reason) - before; counted != 1 {
		t.Errorf("metric of %s grew by %d", reason, counted)
	}
}

func grant(n *Node, grant Grant) func(*testing.T) {
	return func(t *testing.T) {
		n.grant = grant
		n.tell(t)
	}
}

func owner(n *Node, user tailcfg.UserID) func(*testing.T) {
	return func(t *testing.T) {
		n.ingress.User = user
		n.tell(t)
	}
}

func rows(in *Ingress, n *Node, changes map[string]any) func(*testing.T) {
	return func(t *testing.T) {
		in.rows = []map[string]any{n.row(changes)}
		in.reload(t)
	}
}
