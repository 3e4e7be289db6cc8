package tailnet

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"tailscale.com/ipn"
	"tailscale.com/tailcfg"

	"funnel-ingress/tests/lab"
)

const (
	ingressHost = "funnel-ingress"
	suffix      = "funnel.example.net" // under which nodes are public
)

// Who the two users are in all scenarios. The ingress is Alice's.
const alice, bob = "alice", "bob"

// world is an ingress and nodes on one coordination server.
type world struct {
	coordination
	in *lab.Ingress
}

// newWorld has an ingress that does not run yet; changes replace fields of feed.tailnet.
func newWorld(t testing.TB, c coordination, changes map[string]any) *world {
	t.Helper()
	return newWorldWith(t, c, lab.NewIngress(t, ports...), changes)
}

// newWorldWith has this ingress, which is fed by the tailnet.
func newWorldWith(t testing.TB, c coordination, in *lab.Ingress, changes map[string]any) *world {
	t.Helper()
	lab.Must(t, os.WriteFile(in.Path("authkey"), []byte(c.authKey(t, alice)+"\n"), 0o600))
	policy := map[string]any{"hostname": ingressHost, "auth_key_file": "authkey", "public_suffix": suffix, "ports": ports,
		"users": []string{c.login(alice)}}
	for field, value := range changes {
		if value == nil {
			delete(policy, field)
		} else {
			policy[field] = value
		}
	}
	in.Config["feed"] = map[string]any{"type": "tailnet", "url": c.url(), "tailnet": policy}
	in.Config["offer"] = map[string]any{"timeout": "5s"}
	return &world{c, in}
}

// join starts the ingress, and returns when the coordination server knows it.
func (w *world) join(t testing.TB) {
	t.Helper()
	w.in.Start(t)
	w.owner(t, ingressHost, alice)
}

// addNode joins a node. One that nobody is granted anything by control lets its own user's ingress in.
func (w *world) addNode(t testing.TB, host, user string, process lab.Process) *lab.Node {
	t.Helper()
	n := lab.NewNode(t, host, w.url(), process)
	n.Name = host + "." + w.domain()
	n.AuthKey = w.authKey(t, user)
	if w.certificates() {
		lab.CA.Install(t, n.Dir, n.Name)
	}
	n.Start(t)
	n.Up(t)
	w.owner(t, host, user)
	return n
}

// newTailscaled runs a node that the ingress may funnel to on this coordination server.
func (w *world) newTailscaled() *lab.Tailscaled {
	if w.grants() {
		return &lab.Tailscaled{}
	}
	return &lab.Tailscaled{Env: []string{selfIngress}}
}

const selfIngress = "TS_ALLOW_SELF_INGRESS=true"

// public is the name under which a visitor finds a node.
func public(host string) string { return host + "." + suffix }

// passthrough serves a site of the node's behind it, on port 443.
func (w *world) passthrough(t testing.TB, n *lab.Node, names ...string) {
	t.Helper()
	n.Serve(t, &ipn.ServeConfig{
		AllowFunnel: map[ipn.HostPort]bool{hostPort(n.Name, 443): true},
		TCP:         map[uint16]*ipn.TCPPortHandler{443: {TCPForward: lab.TLSSite(t, append(names, public(n.Host))...)}},
	})
}

// awaitServed returns how long it took until a visitor was let through.
func (w *world) awaitServed(t testing.TB, name string, limit time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	lab.Eventually(t, name+" is served", limit, func() bool {
		verdict, _ := w.in.Verdict(t, 443, name)
		return verdict == lab.Served
	})
	took := time.Since(began)
	t.Logf("%s is served after %v", name, took.Round(time.Millisecond))
	return took
}

// askFor is a visit that must be served.
func (w *world) askFor(t testing.TB, port int, name string) lab.Asked {
	t.Helper()
	return lab.Ask(t, lab.Browser(t, w.in.TLS[port], false), name)
}

// refused is a visitor that must not be let through.
func (w *world) refused(t testing.TB, port int, name, alert, reason string) {
	t.Helper()
	if verdict, line := w.in.Verdict(t, port, name); verdict != alert || line.Reason != reason {
		t.Errorf("%s: %s, %s; not %s, %s", name, verdict, line.Reason, alert, reason)
	}
}

func hostPort(name string, port int) ipn.HostPort {
	return ipn.HostPort(fmt.Sprintf("%s:%d", name, port))
}

func userNumber(id tailcfg.UserID) string { return strconv.FormatInt(int64(id), 10) }

// loginURL is what the ingress says somebody has to open.
func (w *world) loginURL(t testing.TB, mark int) (url string) {
	t.Helper()
	re := regexp.MustCompile(`https?://127\.0\.0\.1:\d+/[^\s"]+`)
	lab.Eventually(t, "the ingress says where to log in", 15*time.Second, func() bool {
		for _, found := range re.FindAllString(w.in.Log()[mark:], -1) {
			if found != w.url() && found != w.url()+"/" {
				url = found
			}
		}
		return url != ""
	})
	return url
}
