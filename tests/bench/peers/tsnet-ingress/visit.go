package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// visit is one visitor, from the first byte to the line of the access log.
type visit struct {
	conn  *net.TCPConn
	port  int
	names *table
	dial  func(ctx context.Context, network, address string) (net.Conn, error)

	Client string `json:"client"`
	Name   string `json:"name"`
	Port   int    `json:"port"`
	Target string `json:"target"`
	Node   string `json:"node"`
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
}

const (
	helloTimeout = 5 * time.Second
	offerTimeout = 10 * time.Second
	halfClose    = time.Second
)

// TLS alerts, by number
const (
	accessDenied     = 49
	internalError    = 80
	unrecognizedName = 112
)

var alerts = map[string]byte{
	"no_sni": unrecognizedName, "unknown_name": unrecognizedName, "port_not_funnelled": unrecognizedName,
	"node_denied": unrecognizedName, "node_no_cap": accessDenied, "node_refused": internalError,
	"node_unreachable": internalError, "node_protocol": internalError,
}

var logMu sync.Mutex

func (v *visit) serve() {
	defer v.conn.Close()
	v.Client, v.Port = v.conn.RemoteAddr().String(), v.port
	v.Reason = v.run()
	if alert, ok := alerts[v.Reason]; ok {
		v.conn.Write([]byte{21, 3, 3, 0, 2, 2, alert})
	}
	line, _ := json.Marshal(v)
	logMu.Lock()
	defer logMu.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

func (v *visit) run() (reason string) {
	v.conn.SetReadDeadline(time.Now().Add(helloTimeout))
	hello, name := readHello(v.conn)
	v.conn.SetReadDeadline(time.Time{})
	if name == "" {
		return "no_sni"
	}
	v.Name = name
	target, reason := v.names.find(name, v.port)
	if reason != "" {
		return reason
	}
	v.Node, v.Target = target.node, target.offer
	ctx, cancel := context.WithTimeout(context.Background(), offerTimeout)
	defer cancel()
	reason = "node_unreachable"
	for _, address := range target.addresses {
		conn, err := v.dial(ctx, "tcp", address.String())
		if err != nil {
			v.Detail = err.Error()
			continue
		}
		defer conn.Close()
		up := io.Reader(conn)
		if v.names.policy.Transport == "tcp" {
			reason = v.announce(conn)
		} else {
			up, reason = v.offer(conn)
		}
		if reason == "" {
			return v.relay(conn, up, hello)
		}
		if reason != "node_no_cap" { // grants are per family
			return reason
		}
	}
	return reason
}

// readHello reads as much as TLS needs to see the ClientHello; what was read, and the name in it.
func readHello(conn net.Conn) (read []byte, name string) {
	seen := errors.New("seen")
	var raw bytes.Buffer
	tls.Server(readOnly{conn, io.TeeReader(conn, &raw)}, &tls.Config{
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			name = strings.ToLower(hello.ServerName)
			return nil, seen
		},
	}).Handshake()
	return raw.Bytes(), name
}

// readOnly is a connection on which nothing is said.
type readOnly struct {
	net.Conn
	reader io.Reader
}

func (r readOnly) Read(b []byte) (int, error)  { return r.reader.Read(b) }
func (r readOnly) Write(b []byte) (int, error) { return len(b), nil }

// announce says by a PROXY header who comes, if the policy wants it.
func (v *visit) announce(conn net.Conn) (reason string) {
	var version byte
	switch v.names.policy.ProxyProtocol {
	case "v1", float64(1):
		version = 1
	case true, "v2", float64(2):
		version = 2
	default:
		return ""
	}
	if _, err := proxyproto.HeaderProxyFromAddrs(version, v.conn.RemoteAddr(), v.conn.LocalAddr()).WriteTo(conn); err != nil {
		return "node_unreachable"
	}
	return ""
}

// offer asks the node's peerapi; where the node's bytes are read from once it has accepted.
func (v *visit) offer(conn net.Conn) (up io.Reader, reason string) {
	conn.SetDeadline(time.Now().Add(offerTimeout))
	defer conn.SetDeadline(time.Time{})
	fmt.Fprintf(conn, "POST /v0/ingress HTTP/1.1\r\nHost: peer\r\nTailscale-Ingress-Src: %s\r\nTailscale-Ingress-Target: %s\r\n\r\n",
		v.Client, v.Target)
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		v.Detail = err.Error()
		return nil, "node_protocol"
	}
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return reader, ""
	}
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 200))
	v.Detail = fmt.Sprintf("%d %s", answer.StatusCode, strings.TrimSpace(string(body)))
	switch {
	case strings.HasPrefix(string(body), "denied; no ingress cap"):
		return nil, "node_no_cap"
	case string(body) == "denied\n":
		return nil, "node_denied"
	}
	return nil, "node_refused"
}

// relay passes bytes until both sides are done. The visitor's end is held for a while: stock nodes would end both directions.
func (v *visit) relay(conn net.Conn, up io.Reader, hello []byte) (reason string) {
	if _, err := conn.Write(hello); err != nil {
		return "node_reset"
	}
	go func() {
		if _, err := io.Copy(conn, v.conn); err == nil {
			time.Sleep(halfClose)
		}
		conn.Close()
	}()
	io.Copy(v.conn, up)
	return "ok"
}

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
