package tailnet

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"tailscale.com/ipn"

	"funnel-ingress/tests/lab"
)

// How long a first visitor may wait for an ingress that has just joined; most of it is the machine's share.
const joining = 15 * time.Second

// TestServe is Funnel as the manual has it, with an ingress that found its nodes itself: two users, one of whom the
// operator lets be funnelled.
func TestServe(t *testing.T) { each(t, testServe) }

func testServe(t *testing.T, c coordination) {
	w := newWorld(t, c, map[string]any{"names": []map[string]any{
		{"name": "www.example.org", "node": "home", "target": "home." + c.domain() + ":443"},
		{"name": "home." + c.domain(), "node": "home", "target": "home." + c.domain() + ":8443"},
	}})
	w.join(t)
	daemon := w.newTailscaled()
	home := w.addNode(t, "home", alice, daemon)
	stranger := w.addNode(t, "stranger", bob, &lab.Tsnet{})
	w.passthrough(t, stranger)
	config := &ipn.ServeConfig{
		AllowFunnel: map[ipn.HostPort]bool{
			hostPort(home.Name, 443): true, hostPort(home.Name, 8443): true, hostPort(home.Name, 10000): true},
		TCP: map[uint16]*ipn.TCPPortHandler{
			443:   {TCPForward: lab.TLSSite(t, public("home"), "www.example.org")},
			10000: {TCPForward: lab.ServeConns(t, lab.TellsVisitor(lab.CA.Issue(t, public("home")))), ProxyProtocol: 2},
		},
	}
	if w.certificates() {
		config.TCP[8443] = &ipn.TCPPortHandler{HTTPS: true}
		config.Web = map[ipn.HostPort]*ipn.WebServerConfig{
			hostPort(home.Name, 8443): {Handlers: map[string]*ipn.HTTPHandler{"/": {Proxy: lab.PlainSite(t)}}}}
	}
	home.Serve(t, config)
	w.awaitServed(t, public("home"), joining)

	t.Run("TLS passes through to a server behind the node", func(t *testing.T) {
		if seen := lab.Ask(t, lab.Browser(t, w.in.TLS[443], true), public("home")); seen.Protocol != "HTTP/2.0" {
			t.Errorf("the site saw %+v", seen)
		}
	})
	t.Run("curl", func(t *testing.T) {
		if seen := lab.Curl(t, w.in.TLS[443], public("home")); seen.Host != public("home") || !strings.HasPrefix(seen.Header.Get("User-Agent"), "curl/") {
			t.Errorf("the site saw %+v", seen)
		}
	})
	t.Run("a custom name", func(t *testing.T) {
		if seen := w.askFor(t, 443, "www.example.org"); seen.Host != "www.example.org" {
			t.Errorf("the site saw %+v", seen)
		}
	})
	t.Run("HTTPS ended by the node", func(t *testing.T) {
		if !w.certificates() {
			t.Skip("this coordination server gives nodes no certificates")
		}
		seen := w.askFor(t, 8443, home.Name)
		if seen.Header.Get("X-Forwarded-For") != "127.0.0.1" || seen.Header.Get("Tailscale-Funnel-Request") != "?1" {
			t.Errorf("the site saw %+v", seen)
		}
	})
	t.Run("the visitor's address by PROXY protocol", func(t *testing.T) {
		conn := lab.Dial(t, w.in.TLS[10000])
		fields := strings.Fields(lab.Hear(t, tls.Client(conn, lab.Trusting(public("home")))))
		if len(fields) != 4 || fields[1] != "2" || fields[2] != conn.LocalAddr().String() {
			t.Errorf("the node said %q of %s", fields, conn.LocalAddr())
		}
	})
	t.Run("a user whom the operator did not name", func(t *testing.T) {
		w.refused(t, 443, public("stranger"), lab.UnrecognizedName, "unknown_name")
	})
	t.Run("a name that nobody has", func(t *testing.T) {
		w.refused(t, 443, public("nobody"), lab.UnrecognizedName, "unknown_name")
	})
	t.Run("switched off at the node", func(t *testing.T) {
		home.Serve(t, &ipn.ServeConfig{})
		lab.Eventually(t, "nobody is let through", 10*time.Second, func() bool {
			verdict, line := w.in.Verdict(t, 443, public("home"))
			// the node itself says node_denied until the map says it too
			return verdict == lab.UnrecognizedName && line.Reason == "not_opted_in"
		})
		home.Serve(t, config)
		w.awaitServed(t, public("home"), joining)
	})
	t.Run("the node restarts, with a new disco key", func(t *testing.T) {
		home.Close(t)
		home.Start(t)
		home.Up(t)
		w.owner(t, "home", alice)
		w.awaitServed(t, public("home"), joining)
	})
}

// TestTCP is the transport that needs nothing of Funnel: a plain connection to the node's own address, under ordinary rules.
func TestTCP(t *testing.T) { each(t, testTCP) }

func testTCP(t *testing.T, c coordination) {
	for _, version := range []string{"off", "v2"} {
		t.Run("PROXY protocol "+version, func(t *testing.T) {
			host := "web-" + version
			w := newWorld(t, c, map[string]any{"transport": "tcp", "proxy_protocol": version != "off", "hostname": ingressHost + "-" + version,
				"names": []map[string]any{{"name": "www.example.org", "node": host}, {"name": "*.apps.example.org", "node": host}}})
			w.in.Start(t)
			process := &lab.Tsnet{}
			w.addNode(t, host, alice, process)
			listener, err := process.Server.Listen("tcp", ":443")
			lab.Must(t, err)
			names := []string{public(host), "www.example.org", "any.apps.example.org"}
			certificate := lab.CA.Issue(t, names...)
			tells := lab.TellsVisitor(certificate)
			if version == "off" {
				tells = func(conn net.Conn) {
					session := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
					fmt.Fprintf(session, "plain %v\n", conn.RemoteAddr())
					bufio.NewReader(session).ReadByte()
				}
			}
			lab.ServeOn(t, listener, tells)
			w.awaitServed(t, public(host), joining)
			for _, name := range names {
				conn := lab.Dial(t, w.in.TLS[443])
				said := strings.Fields(lab.Hear(t, tls.Client(conn, lab.Trusting(name))))
				if version == "v2" && (len(said) != 4 || said[2] != conn.LocalAddr().String()) {
					t.Errorf("the node was told %q of %s, who asked for %s", said, conn.LocalAddr(), name)
				}
			}
			w.refused(t, 443, "apps.example.org", lab.UnrecognizedName, "unknown_name")
		})
	}
}
