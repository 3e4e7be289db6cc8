package tailnet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tailscale.com/ipn"

	"funnel-ingress/tests/lab"
)

// serveEcho has TLS end at an echo behind the node.
func (w *world) serveEcho(t testing.TB, n *lab.Node) {
	t.Helper()
	n.Serve(t, &ipn.ServeConfig{
		AllowFunnel: map[ipn.HostPort]bool{hostPort(n.Name, 443): true},
		TCP: map[uint16]*ipn.TCPPortHandler{
			443: {TCPForward: lab.ServeConns(t, lab.OverTLS(lab.CA.Issue(t, public(n.Host)), lab.Echo))}},
	})
}

// TestAway takes the coordination server away: streams and new visitors go on. When it is back, what changed meanwhile and
// after is known.
func TestAway(t *testing.T) { each(t, testAway) }

// absence is short, for a test run; by hand AWAY=5m shows more: nodes renew sessions, watchdogs fire.
func absence(t *testing.T) time.Duration {
	if os.Getenv("AWAY") == "" {
		return 8 * time.Second
	}
	long, err := time.ParseDuration(os.Getenv("AWAY"))
	lab.Must(t, err)
	return long
}

func testAway(t *testing.T, c coordination) {
	w := newWorld(t, c, nil)
	w.join(t)
	w.serveEcho(t, w.addNode(t, "web", alice, w.newTailscaled()))
	w.awaitServed(t, public("web"), joining)
	stream := lab.Visit(t, w.in.TLS[443], public("web"))
	w.away()
	for end := time.Now().Add(absence(t)); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		lab.Must(t, stream.SetDeadline(time.Now().Add(joining)))
		if got := lab.Say(t, stream, "still here"); got != "still here" {
			t.Errorf("echo %q", got)
		}
		if verdict, line := w.in.Verdict(t, 443, public("web")); verdict != lab.Served {
			t.Fatalf("without the coordination server: %s, %s", verdict, line.Reason)
		}
	}
	w.back(t)
	w.serveEcho(t, w.addNode(t, "late", alice, w.newTailscaled()))
	w.awaitServed(t, public("late"), 45*time.Second) // the ingress has backed off
	lab.Must(t, stream.SetDeadline(time.Now().Add(joining)))
	if got := lab.Say(t, stream, "still here"); got != "still here" {
		t.Errorf("echo %q", got)
	}
}

// TestRestart is the ingress's own: it keeps who it is, and needs no key again.
func TestRestart(t *testing.T) { each(t, testRestart) }

func testRestart(t *testing.T, c coordination) {
	w := newWorld(t, c, nil)
	w.join(t)
	w.serveEcho(t, w.addNode(t, "web", alice, w.newTailscaled()))
	w.awaitServed(t, public("web"), joining)
	w.in.Config["feed"].(map[string]any)["tailnet"].(map[string]any)["auth_key_file"] = nil
	delete(w.in.Config["feed"].(map[string]any)["tailnet"].(map[string]any), "auth_key_file")
	w.in.Stop(t)
	w.in.Start(t)
	w.awaitServed(t, public("web"), joining)
	w.in.Kill()
	w.in.Start(t)
	w.awaitServed(t, public("web"), joining)
}

// TestColdStart restarts the ingress while the coordination server is away: nodes are served as before, within a second,
// directly or over DERP. When the server is back, so is what is new.
func TestColdStart(t *testing.T) { eachOfOurs(t, testColdStart) }

func testColdStart(t *testing.T, c coordination) {
	w := newWorld(t, c, map[string]any{"transport": "tcp"}) // rows are what they are at once
	w.join(t)
	far := w.newTailscaled()
	far.Env = append(far.Env, noUDP+"=true")
	nodes := []*lab.Node{w.addNode(t, "near", alice, w.newTailscaled()), w.addNode(t, "far", alice, far)}
	for _, n := range nodes {
		w.serveEcho(t, n)
		w.awaitServed(t, public(n.Host), joining)
	}
	lab.Eventually(t, "both maps are on disk", 30*time.Second, func() bool {
		rows, _ := os.ReadFile(w.in.Path("state/nodes.map"))
		ways, _ := os.ReadFile(w.in.Path("state/tailnet/map"))
		for _, n := range nodes {
			if !bytes.Contains(rows, []byte(public(n.Host))) || !bytes.Contains(ways, []byte(n.Key.String())) {
				return false
			}
		}
		return true
	})
	w.away()
	for _, crash := range []bool{false, true} {
		if crash {
			w.in.Kill()
		} else {
			w.in.Stop(t)
		}
		w.in.Start(t)
		for range 5 {
			for _, n := range nodes { // the very first visitors too
				began := time.Now()
				stream := lab.Visit(t, w.in.TLS[443], public(n.Host))
				if got := lab.Say(t, stream, "hello"); got != "hello" {
					t.Errorf("echo %q", got)
				}
				stream.Close()
				took := time.Since(began)
				t.Logf("a visitor of the %s node is served after %v", n.Host, took.Round(time.Millisecond))
				if took > 2*time.Second { // one, and the machine's share
					t.Error("that is late")
				}
			}
		}
		if at := lab.Direct(t, nodes[0], ingressHost); at == "" {
			t.Error("the near node is not reached directly")
		}
		if at := lab.Direct(t, nodes[1], ingressHost); at != "" {
			t.Errorf("the far node is reached at %s", at)
		}
	}
	// the relay is away, too, as headscale's own is then: the near node needs none
	w.in.Stop(t)
	w.region().Die()
	w.in.Start(t)
	began := time.Now()
	stream := lab.Visit(t, w.in.TLS[443], public("near"))
	if got := lab.Say(t, stream, "hello"); got != "hello" {
		t.Errorf("echo %q", got)
	}
	stream.Close()
	took := time.Since(began)
	t.Logf("without the relay it took %v", took.Round(time.Millisecond))
	if took > 2*time.Second {
		t.Error("that is late")
	}
	w.region().Revive(t)
	// a map that does not know how they are reached: visitors wait in vain, and not any more when the server has said it
	w.in.Stop(t)
	kept, err := os.ReadFile(w.in.Path("state/tailnet/map"))
	lab.Must(t, err)
	none := append(kept[:bytes.Index(kept, []byte(`"Peers":[`))], `"Peers":[]}`...)
	lab.Must(t, os.WriteFile(w.in.Path("state/tailnet/map"), none, 0o600))
	w.in.Start(t)
	for _, n := range nodes {
		if verdict, line := w.in.Verdict(t, 443, public(n.Host)); verdict == lab.Served || line.Reason != "node_no_session" {
			t.Errorf("nobody knows the way: %s, %s", verdict, line.Reason)
		}
	}
	w.back(t)
	w.serveEcho(t, w.addNode(t, "late", alice, w.newTailscaled()))
	w.awaitServed(t, public("late"), 45*time.Second)
	for _, n := range nodes {
		w.awaitServed(t, public(n.Host), joining)
	}
}

// TestKeyRotates gives the node a new WireGuard key.
func TestKeyRotates(t *testing.T) { each(t, testKeyRotates) }

var loginLine = regexp.MustCompile(`https?://\S+`)

func testKeyRotates(t *testing.T, c coordination) {
	w := newWorld(t, c, nil)
	w.join(t)
	daemon := w.newTailscaled()
	web := w.addNode(t, "web", alice, daemon)
	w.serveEcho(t, web)
	w.awaitServed(t, public("web"), joining)
	before := web.Key
	rotate(t, w, daemon, web)
	if web.Key == before {
		t.Fatal("the node kept its key")
	}
	w.owner(t, "web", alice)
	w.awaitServed(t, public("web"), joining)
}

// TestOwnKeyEnds has the coordination server call the ingress's own key expired: it exchanges it by its auth key, and serves on.
func TestOwnKeyEnds(t *testing.T) { eachOfOurs(t, testOwnKeyEnds) }

func testOwnKeyEnds(t *testing.T, c coordination) {
	w := newWorld(t, c, nil)
	w.join(t)
	w.serveEcho(t, w.addNode(t, "web", alice, w.newTailscaled()))
	w.awaitServed(t, public("web"), joining)
	before := w.ownKey(t)
	w.expire(t, ingressHost)
	lab.Eventually(t, "the ingress has another key", joining, func() bool { return w.ownKey(t) != before })
	w.retire(t)
	w.awaitServed(t, public("web"), joining)
	if !strings.Contains(w.keys(t), "previous "+strings.TrimPrefix(before, "node ")) {
		t.Error("the key before is not kept")
	}
	after := w.ownKey(t)
	w.in.Stop(t)
	w.in.Start(t)
	w.awaitServed(t, public("web"), joining)
	if w.ownKey(t) != after {
		t.Error("a restart changed the key once more")
	}
}

// keys is the ingress's file of them, ownKey its line of the node key.
func (w *world) keys(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(w.in.Path("state/tailnet/keys"))
	lab.Must(t, err)
	return string(text)
}

func (w *world) ownKey(t testing.TB) string {
	t.Helper()
	return regexp.MustCompile(`(?m)^node .*$`).FindString(w.keys(t))
}

// TestEphemeral ends an ingress that said it would not stay: the coordination server forgets it at once. The next start is
// another node.
func TestEphemeral(t *testing.T) {
	t.Parallel()
	if os.Getenv("HEADSCALE") == "" {
		lab.NotTested(t, "HEADSCALE names no program, and testcontrol forgets nobody")
	}
	h := newHeadscale(t, lab.NewRegion(t, 1))
	w := newWorld(t, h, map[string]any{"ephemeral": true})
	var made struct{ Key string }
	lab.Must(t, json.Unmarshal([]byte(h.run(t, "preauthkeys", "create", "--user", h.users[alice], "--reusable", "--ephemeral", "-o", "json")), &made))
	lab.Must(t, os.WriteFile(w.in.Path("authkey"), []byte(made.Key+"\n"), 0o600))
	w.in.Start(t)
	w.serveEcho(t, w.addNode(t, "web", alice, w.newTailscaled()))
	for range 2 {
		w.awaitServed(t, public("web"), joining)
		if h.id(t, ingressHost) == "" {
			t.Fatal("headscale does not know the ingress")
		}
		w.in.Stop(t)
		if h.id(t, ingressHost) != "" {
			t.Error("headscale still knows the ingress")
		}
		w.in.Start(t)
	}
	w.awaitServed(t, public("web"), joining)
}

// TestRemoved takes a node out of the tailnet: its name is gone within two seconds.
func TestRemoved(t *testing.T) { each(t, testRemoved) }

func testRemoved(t *testing.T, c coordination) {
	w := newWorld(t, c, nil)
	w.join(t)
	w.serveEcho(t, w.addNode(t, "web", alice, w.newTailscaled()))
	w.awaitServed(t, public("web"), joining)
	w.remove(t, "web")
	began := time.Now()
	lab.Eventually(t, "the name is gone", joining, func() bool {
		verdict, line := w.in.Verdict(t, 443, public("web"))
		return verdict == lab.UnrecognizedName && line.Reason == "unknown_name"
	})
	took := time.Since(began)
	t.Logf("gone after %v", took.Round(time.Millisecond))
	if took > 2*time.Second {
		t.Errorf("the name was there for %v", took)
	}
}

// rotate has the node log in again, which gives it a new key.
func rotate(t testing.TB, w *world, daemon *lab.Tailscaled, n *lab.Node) {
	t.Helper()
	if control, ok := w.coordination.(*testcontrol); ok { // it retires the old key when the user has been asked
		n.AuthKey, control.RequireAuth = "", true
		defer func() { control.RequireAuth = false }()
	}
	command := daemon.UpCommand(n, "--force-reauth")
	said, err := command.StderrPipe()
	lab.Must(t, err)
	lab.Must(t, command.Start())
	text := ""
	for lines := bufio.NewScanner(said); lines.Scan(); {
		text += lines.Text() + "\n"
		if url := loginLine.FindString(lines.Text()); url != "" {
			w.approve(t, url, alice)
		}
	}
	if err := command.Wait(); err != nil {
		t.Fatalf("tailscale up: %v\n%s", err, text)
	}
	status, err := n.Client.StatusWithoutPeers(context.Background())
	lab.Must(t, err)
	n.Key = status.Self.PublicKey
}
