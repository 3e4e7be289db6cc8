package interop

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

const visitTimeout = 30 * time.Second

// dial opens a visitor's TCP connection.
func dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, visitTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(visitTimeout))
	return conn.(*net.TCPConn)
}

// trusting is a visitor's TLS: it accepts our authority's certificates for the name only.
func trusting(name string) *tls.Config {
	return &tls.Config{ServerName: name, RootCAs: authority.roots}
}

// visit opens a TLS session with a name through the ingress; the handshake is done.
func visit(t testing.TB, address, name string) *tls.Conn {
	t.Helper()
	session := tls.Client(dial(t, address), trusting(name))
	if err := session.Handshake(); err != nil {
		t.Fatalf("handshake with %s: %v", name, err)
	}
	return session
}

// announce says by a PROXY header who stands behind a connection to the balancer's listener.
func announce(t testing.TB, conn net.Conn, visitor netip.AddrPort) {
	t.Helper()
	header := proxyproto.HeaderProxyFromAddrs(2,
		net.TCPAddrFromAddrPort(visitor), net.TCPAddrFromAddrPort(destinationFor(visitor)))
	if visitor.Addr().Is4In6() { // Go would unmap it; a balancer with a dual stack socket does not
		header.TransportProtocol = proxyproto.TCPv6
	}
	if _, err := header.WriteTo(conn); err != nil {
		t.Fatal(err)
	}
}

func destinationFor(visitor netip.AddrPort) netip.AddrPort {
	switch {
	case visitor.Addr().Is4():
		return addrPort("192.0.2.1:443")
	case visitor.Addr().Is4In6():
		return addrPort("[::ffff:192.0.2.1]:443")
	default:
		return addrPort("[2001:db8:1::1]:443")
	}
}

// alert is what a visitor is told who is not let through: Go's words for the TLS alert, or "closed"; and what the
// access log says of it.
func alert(t testing.TB, in *Ingress, port int, name string) (verdict string, line Access) {
	t.Helper()
	since := len(in.accesses()) // visitors before may have had the same port
	conn := dial(t, in.tls[port])
	verdict = handshake(conn, name)
	conn.Close()
	return verdict, in.access(t, conn.LocalAddr().String(), since)
}

func handshake(conn net.Conn, name string) string {
	err := tls.Client(conn, trusting(name)).Handshake()
	if err == nil {
		return served
	}
	var remote *net.OpError
	if errors.As(err, &remote) && remote.Op == "remote error" {
		return remote.Err.Error()
	}
	return closed
}

const (
	served           = "served"
	closed           = "closed"
	internalError    = "tls: internal error"
	unrecognizedName = "tls: unrecognized name"
	accessDenied     = "tls: access denied"
)

// browser is an HTTP client whose connections all go to one listener of the ingress.
func browser(t testing.TB, address string, http2 bool) *http.Client {
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: authority.roots},
		ForceAttemptHTTP2: http2,
		DisableKeepAlives: !http2, // a connection each, so that none outlives what a test looks at
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: visitTimeout}
}

// ask fetches the page that says what the site saw.
func ask(t testing.TB, client *http.Client, name string) (seen asked) {
	t.Helper()
	answer, err := client.Get("https://" + name + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&seen); err != nil {
		t.Fatalf("%s: %v", answer.Status, err)
	}
	return seen
}

// say writes a line and returns the next one that comes back.
func say(t testing.TB, conn io.ReadWriter, line string) string {
	t.Helper()
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		t.Fatal(err)
	}
	return hear(t, conn)
}

// hear reads a line, without reading ahead.
func hear(t testing.TB, conn io.Reader) string {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
		if b[0] == '\n' {
			return string(line)
		}
		line = append(line, b[0])
	}
}
