package lab

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"

	"github.com/pires/go-proxyproto"
)

// Listen gives a loopback listener that ends with the test.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// ServeConns runs a backend and returns its address.
func ServeConns(t testing.TB, serve func(net.Conn)) string {
	listener := Listen(t)
	ServeOn(t, listener, serve)
	return listener.Addr().String()
}

// ServeOn runs a backend on a listener, which ends with the test.
func ServeOn(t testing.TB, listener net.Listener, serve func(net.Conn)) {
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
}

// OverTLS is a backend that ends TLS itself.
func OverTLS(certificate tls.Certificate, serve func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		session := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
		serve(session)
		session.Close()
	}
}

// Echo is a TCP service that sends back what it gets.
func Echo(conn net.Conn) { io.Copy(conn, conn) }

// SpeaksFirst greets before it listens, as SSH does.
func SpeaksFirst(conn net.Conn) {
	io.WriteString(conn, "SSH-2.0-lab\r\n")
	io.Copy(conn, conn)
}

// TellsVisitor ends TLS behind a PROXY header and answers with what the header said.
func TellsVisitor(certificate tls.Certificate) func(net.Conn) {
	return func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		header, err := proxyproto.Read(reader)
		if err != nil {
			return
		}
		session := tls.Server(&Peeked{Conn: conn, Reader: reader}, &tls.Config{Certificates: []tls.Certificate{certificate}})
		fmt.Fprintf(session, "PROXY %d %v %v\n", header.Version, header.SourceAddr, header.DestinationAddr)
		session.Close()
	}
}

// Peeked is a connection whose first bytes wait in a reader.
type Peeked struct {
	net.Conn
	Reader *bufio.Reader
}

func (p *Peeked) Read(b []byte) (int, error) { return p.Reader.Read(b) }

// Site is the web service behind nodes: /big?n= random bytes, their digest in a header; /sum the digest of the body;
// anything else who asked, as JSON.
var Site = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/big":
		n, _ := strconv.Atoi(r.FormValue("n"))
		body := RandomBytes(n)
		w.Header().Set("Digest", fmt.Sprintf("%x", sha256.Sum256(body)))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		w.Write(body)
	case "/sum":
		sum := sha256.New()
		io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%x", sum.Sum(nil))
	default:
		json.NewEncoder(w).Encode(Asked{Host: r.Host, Header: r.Header, Protocol: r.Proto})
	}
})

type Asked struct {
	Host, Protocol string
	Header         http.Header
}

// TLSSite is the site behind TLS of its own; its address.
func TLSSite(t testing.TB, names ...string) string {
	server := httptest.NewUnstartedServer(Site)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{CA.Issue(t, names...)}}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// PlainSite is the site without TLS; its URL.
func PlainSite(t testing.TB) string {
	server := httptest.NewServer(Site)
	t.Cleanup(server.Close)
	return server.URL
}

func RandomBytes(n int) []byte {
	body := make([]byte, n)
	generator := rand.NewChaCha8([32]byte{byte(n)})
	generator.Read(body)
	return body
}

// Occupy holds a port of this machine on all addresses until the test ends, if it is free.
func Occupy(t testing.TB, port uint16) {
	for _, network := range []string{"tcp4", "tcp6"} {
		listener, err := net.Listen(network, fmt.Sprintf(":%d", port))
		if err == nil {
			t.Cleanup(func() { listener.Close() })
		}
	}
}

func AddrPort(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }
