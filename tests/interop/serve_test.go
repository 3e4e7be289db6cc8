package interop

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"tailscale.com/ipn"
	"tailscale.com/tsnet"

	"funnel-ingress/tests/lab"
)

// TestServe shows every way in which a stock node serves a funnel, each on a port of its own, at once on one node.
func TestServe(t *testing.T) {
	tailnet, in := newTailnet(t), newIngress(t)
	web := tailnet.addNode("web", in, in.UDP)
	certificate := lab.CA.Issue(t, web.Name)
	raw := "raw." + lab.Domain
	web.serve(t, &ipn.ServeConfig{
		AllowFunnel: map[ipn.HostPort]bool{
			hostPort(web.Name, 443): true, hostPort(web.Name, 8443): true, hostPort(web.Name, 10000): true,
			hostPort(web.Name, 5001): true, hostPort(web.Name, 5002): true, hostPort(web.Name, mixedPort): true,
			hostPort(raw, rawPort): true,
		},
		TCP: map[uint16]*ipn.TCPPortHandler{
			443:       {TCPForward: lab.TLSSite(t, web.Name, "www.example.org", "*.apps.example.org")},
			8443:      {HTTPS: true},
			10000:     {TCPForward: lab.ServeConns(t, lab.Echo), TerminateTLS: web.Name},
			5001:      {TCPForward: lab.ServeConns(t, lab.TellsVisitor(certificate)), ProxyProtocol: 1},
			5002:      {TCPForward: lab.ServeConns(t, lab.TellsVisitor(certificate)), ProxyProtocol: 2},
			mixedPort: {TCPForward: lab.ServeConns(t, lab.TellsVisitor(certificate)), ProxyProtocol: 2},
			rawPort:   {TCPForward: lab.ServeConns(t, lab.SpeaksFirst)},
		},
		Web: map[ipn.HostPort]*ipn.WebServerConfig{
			hostPort(web.Name, 8443): {Handlers: map[string]*ipn.HTTPHandler{
				"/":     {Proxy: lab.PlainSite(t)},
				"/text": {Text: "from the node itself"},
			}},
		},
	})
	app, err := web.Process.(*lab.Tsnet).Server.ListenFunnel("tcp", ":4443", tsnet.FunnelOnly(),
		tsnet.FunnelTLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Close() })
	go serveApp(app)
	in.rows = []map[string]any{web.row(map[string]any{
		"names": []any{
			web.Name, raw,
			map[string]any{"name": "www.example.org", "target": web.Name + ":443"},
			map[string]any{"name": "*.apps.example.org", "target": web.Name + ":443"},
		},
		"ports": append([]int{rawPort, mixedPort}, tlsPorts...),
	})}
	in.start(t)

	t.Run("TLS passes through to what the node forwards to", func(t *testing.T) {
		seen := lab.Ask(t, lab.Browser(t, in.TLS[443], true), web.Name)
		if seen.Protocol != "HTTP/2.0" || seen.Host != web.Name {
			t.Errorf("the site saw %+v", seen)
		}
	})
	t.Run("the node ends HTTPS and proxies", func(t *testing.T) {
		conn := lab.Dial(t, in.TLS[8443])
		session := tls.Client(conn, lab.Trusting(web.Name))
		fmt.Fprintf(session, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", web.Name)
		answer, err := io.ReadAll(session)
		if err != nil {
			t.Fatal(err)
		}
		visitor, _, _ := net.SplitHostPort(conn.LocalAddr().String())
		for _, want := range []string{"200 OK", `"X-Forwarded-For":["` + visitor + `"]`, `"X-Forwarded-Proto":["https"]`,
			`"Tailscale-Funnel-Request":["?1"]`} {
			if !strings.Contains(string(answer), want) {
				t.Errorf("no %s in %s", want, answer)
			}
		}
	})
	t.Run("the node ends HTTPS and answers itself", func(t *testing.T) {
		answer, err := lab.Browser(t, in.TLS[8443], true).Get("https://" + web.Name + "/text")
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		if answer.ProtoMajor != 2 || string(text) != "from the node itself" {
			t.Errorf("%s %q", answer.Proto, text)
		}
	})
	t.Run("the node ends TLS for a TCP service", func(t *testing.T) {
		session := lab.Visit(t, in.TLS[10000], web.Name)
		if got := lab.Say(t, session, "hello"); got != "hello" {
			t.Errorf("echo of hello: %q", got)
		}
	})
	t.Run("ListenFunnel", func(t *testing.T) {
		session := lab.Visit(t, in.TLS[4443], web.Name)
		client := session.NetConn().LocalAddr().String()
		if got, want := lab.Hear(t, session), fmt.Sprintf("funnel %s %s:4443", client, web.Name); got != want {
			t.Errorf("the app saw %q, not %q", got, want)
		}
	})
	t.Run("PROXY protocol", func(t *testing.T) { testProxyProtocol(t, in, web) })
	t.Run("names that the node does not know, by target", func(t *testing.T) {
		for _, name := range []string{"www.example.org", "one.apps.example.org"} {
			if seen := lab.Ask(t, lab.Browser(t, in.TLS[443], true), name); seen.Host != name {
				t.Errorf("the site was asked for %q, not %q", seen.Host, name)
			}
		}
	})
	t.Run("raw TCP, the server speaks first", func(t *testing.T) {
		conn := lab.Dial(t, in.raw)
		if banner := lab.Hear(t, conn); banner != "SSH-2.0-lab\r" {
			t.Errorf("banner %q", banner)
		}
		if got := lab.Say(t, conn, "key exchange"); got != "key exchange" {
			t.Errorf("echo %q", got)
		}
		conn.SetLinger(0)
		conn.Close()
		line := in.Access(t, conn.LocalAddr().String(), 0)
		if line.Reason != "visitor_reset" || line.Target != fmt.Sprintf("%s:%d", raw, rawPort) {
			t.Errorf("access log: %+v", line)
		}
	})
}

// serveApp answers visitors of a tsnet program with what its listener knows of them.
func serveApp(app net.Listener) {
	for {
		conn, err := app.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			session := conn.(*tls.Conn)
			if funnel, ok := session.NetConn().(*ipn.FunnelConn); ok && session.Handshake() == nil {
				fmt.Fprintf(session, "funnel %v %v\n", funnel.Src, funnel.Target)
			}
		}()
	}
}

// testProxyProtocol compares what the node makes of Tailscale-Ingress-Src with who the visitor was.
func testProxyProtocol(t *testing.T, in *Ingress, web *Node) {
	v4, v6 := web.Addresses(t)
	said := func(t *testing.T, conn *net.TCPConn) (version, source string, destination netip.AddrPort) {
		session := tls.Client(conn, lab.Trusting(web.Name))
		fields := strings.Fields(lab.Hear(t, session))
		if len(fields) != 4 {
			t.Fatalf("the backend says %q", fields)
		}
		return fields[1], fields[2], lab.AddrPort(fields[3])
	}
	for version, port := range map[string]int{"1": 5001, "2": 5002} {
		conn := lab.Dial(t, in.TLS[port])
		got, source, destination := said(t, conn)
		if got != version || source != conn.LocalAddr().String() || destination.Addr() != v4 {
			t.Errorf("version %s: node said %s %s %s", version, got, source, destination)
		}
	}
	for _, c := range []struct {
		visitor, source string
		destination     netip.Addr
	}{
		{"203.0.113.5:40000", "203.0.113.5:40000", v4},
		{"[2001:db8::5]:40001", "[2001:db8::5]:40001", v6},
		{"[::ffff:203.0.113.7]:40002", "203.0.113.7:40002", v4},
	} {
		for port, address := range in.proxies {
			conn := lab.Dial(t, address)
			lab.Announce(t, conn, lab.AddrPort(c.visitor))
			_, source, destination := said(t, conn)
			if source != c.source || destination.Addr() != c.destination {
				t.Errorf("visitor %s of port %d: node said %s %s", c.visitor, port, source, destination)
			}
		}
	}
	conn := lab.Dial(t, fmt.Sprintf("127.0.0.1:%d", in.mixed))
	if _, source, destination := said(t, conn); source != conn.LocalAddr().String() || destination.Addr() != v4 {
		t.Errorf("IPv4 visitor of a dual stack listener: node said %s %s", source, destination)
	}
	conn = lab.Dial(t, fmt.Sprintf("[::1]:%d", in.mixed))
	if _, source, destination := said(t, conn); source != conn.LocalAddr().String() || destination.Addr() != v6 {
		t.Errorf("IPv6 visitor of a dual stack listener: node said %s %s", source, destination)
	}
}

func hostPort(name string, port int) ipn.HostPort {
	return ipn.HostPort(fmt.Sprintf("%s:%d", name, port))
}
