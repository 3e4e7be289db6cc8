package lab

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

const VisitTimeout = 30 * time.Second

// Dial opens a visitor's TCP connection.
func Dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, VisitTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(VisitTimeout))
	return conn.(*net.TCPConn)
}

// Trusting is a visitor's TLS: it accepts our authority's certificates for the name only.
func Trusting(name string) *tls.Config {
	return &tls.Config{ServerName: name, RootCAs: CA.roots}
}

// Visit opens a TLS session with a name through the ingress; the handshake is done.
func Visit(t testing.TB, address, name string) *tls.Conn {
	t.Helper()
	session := tls.Client(Dial(t, address), Trusting(name))
	if err := session.Handshake(); err != nil {
		t.Fatalf("handshake with %s: %v", name, err)
	}
	return session
}

// Announce says by a PROXY header who stands behind a connection to the balancer's listener.
func Announce(t testing.TB, conn net.Conn, visitor netip.AddrPort) {
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
		return AddrPort("192.0.2.1:443")
	case visitor.Addr().Is4In6():
		return AddrPort("[::ffff:192.0.2.1]:443")
	default:
		return AddrPort("[2001:db8:1::1]:443")
	}
}

// Handshake is what a visitor is told: Served, Closed, or Go's words for the TLS alert.
func Handshake(conn net.Conn, name string) string {
	err := tls.Client(conn, Trusting(name)).Handshake()
	if err == nil {
		return Served
	}
	var remote *net.OpError
	if errors.As(err, &remote) && remote.Op == "remote error" {
		return remote.Err.Error()
	}
	return Closed
}

const (
	Served           = "served"
	Closed           = "closed"
	InternalError    = "tls: internal error"
	UnrecognizedName = "tls: unrecognized name"
	AccessDenied     = "tls: access denied"
)

// Browser is an HTTP client whose connections all go to one listener of the ingress.
func Browser(t testing.TB, address string, http2 bool) *http.Client {
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: CA.roots},
		ForceAttemptHTTP2: http2,
		DisableKeepAlives: !http2, // a connection each, so that none outlives what a test looks at
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: VisitTimeout}
}

// Ask fetches the page that says what the site saw.
func Ask(t testing.TB, client *http.Client, name string) (seen Asked) {
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

// Curl fetches the site's page as people try things out; what that saw.
func Curl(t testing.TB, address, name string) (seen Asked) {
	t.Helper()
	program, err := exec.LookPath("curl")
	if err != nil {
		NotTested(t, "no curl here")
	}
	host, port, err := net.SplitHostPort(address)
	Must(t, err)
	output, err := exec.Command(program, "--silent", "--show-error", "--max-time", "30", "--cacert", CA.file,
		"--connect-to", name+":443:"+host+":"+port, "https://"+name+"/").Output()
	if err != nil {
		t.Fatalf("curl: %v\n%s", err, err.(*exec.ExitError).Stderr)
	}
	Must(t, json.Unmarshal(output, &seen))
	return seen
}

// Say writes a line and returns the next one that comes back.
func Say(t testing.TB, conn io.ReadWriter, line string) string {
	t.Helper()
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		t.Fatal(err)
	}
	return Hear(t, conn)
}

// Hear reads a line, without reading ahead.
func Hear(t testing.TB, conn io.Reader) string {
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
