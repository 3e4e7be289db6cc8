package interop

import (
	"io"
	"testing"
	"time"

	"funnel-ingress/tests/lab"
)

// TestTailscaled is the way of the manual: a real tailscaled, told by the `tailscale` command what to funnel.
func TestTailscaled(t *testing.T) {
	t.Parallel()
	tailnet, in := newTailnet(t), newIngress(t)
	daemon := &lab.Tailscaled{}
	home := tailnet.addNodeAs("home", in, in.UDP, daemon)
	certificate := lab.CA.Issue(t, home.Name)
	for _, funnel := range [][]string{
		{"--https=443", lab.PlainSite(t)},
		{"--tcp=8443", "tcp://" + lab.TLSSite(t, home.Name)},
		{"--tls-terminated-tcp=10000", "tcp://" + lab.ServeConns(t, lab.Echo)},
		{"--tcp=5001", "--proxy-protocol=1", "tcp://" + lab.ServeConns(t, lab.TellsVisitor(certificate))},
		{"--tcp=10443", "--proxy-protocol=2", "tcp://" + lab.ServeConns(t, lab.TellsVisitor(certificate))},
		{"--tcp=5002", "--proxy-protocol=2", "tcp://" + lab.ServeConns(t, lab.TellsVisitor(certificate))},
	} {
		daemon.Run(t, append([]string{"funnel", "--bg", "--yes"}, funnel...)...)
	}
	home.awaitFunnel(t, true)
	in.rows = []map[string]any{home.row(nil)}
	in.start(t)

	t.Run("HTTPS ended by the node", func(t *testing.T) {
		client := lab.Browser(t, in.TLS[443], true)
		seen := lab.Ask(t, client, home.Name)
		if seen.Host != home.Name || seen.Header.Get("X-Forwarded-For") != "127.0.0.1" ||
			seen.Header.Get("Tailscale-Funnel-Request") != "?1" {
			t.Errorf("the site saw %+v", seen)
		}
	})
	t.Run("TLS passed through", func(t *testing.T) {
		if seen := lab.Ask(t, lab.Browser(t, in.TLS[8443], true), home.Name); seen.Protocol != "HTTP/2.0" {
			t.Errorf("the site saw %+v", seen)
		}
	})
	t.Run("TLS ended by the node, for a TCP service", func(t *testing.T) {
		if got := lab.Say(t, lab.Visit(t, in.TLS[10000], home.Name), "hello"); got != "hello" {
			t.Errorf("echo of hello: %q", got)
		}
	})
	t.Run("PROXY protocol", func(t *testing.T) { testProxyProtocol(t, in, home) })
	t.Run("switched off, and on again in the foreground", func(t *testing.T) {
		daemon.Run(t, "funnel", "--https=443", "off")
		checkRefused(t, in, 443, home.Name, lab.UnrecognizedName, "node_denied")
		foreground := daemon.Command("funnel", "--https=443", lab.PlainSite(t))
		output, err := foreground.StdoutPipe()
		lab.Must(t, err)
		lab.Must(t, foreground.Start())
		go io.Copy(io.Discard, output)
		on := func() bool {
			verdict, _ := in.Verdict(t, 443, home.Name)
			return verdict == lab.Served
		}
		lab.Eventually(t, "the funnel is on", 10*time.Second, on)
		lab.Must(t, foreground.Process.Kill())
		foreground.Wait()
		lab.Eventually(t, "the funnel ends with its command", 10*time.Second, func() bool { return !on() })
	})
	t.Run("the daemon restarts", func(t *testing.T) {
		home.Close(t)
		home.start(t)
		home.awaitFunnel(t, true)
		lab.Eventually(t, "it is served where control says it is now", recovery+10*time.Second, func() bool {
			rows(in, home, nil)(t)
			verdict, _ := in.Verdict(t, 10000, home.Name)
			return verdict == lab.Served
		})
	})
	t.Run("no capability", func(t *testing.T) {
		grant(home, Grant{})(t)
		checkRefused(t, in, 10000, home.Name, lab.AccessDenied, "node_no_cap")
	})
}
