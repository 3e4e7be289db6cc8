// go-ingress is the funnel that can be rigged up in Go today: wireguard-go and gVisor's netstack at both ends, as in
// wireproxy and tsnet, with the offer that stock nodes take. Only for the benchmark: one node, one name for all.
//
//	go-ingress ingress -udp PORT -key HEX -peer HEX [-endpoint ADDRESS] -listen ADDRESS
//	go-ingress node    -udp PORT -key HEX -peer HEX [-endpoint ADDRESS] -forward ADDRESS
//
// Says "ready" on standard output once it serves. With an endpoint it can begin the handshake by itself, and node does.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"
)

const (
	mtu         = 1280
	peerapiPort = 41112
	dialTimeout = 10 * time.Second
)

var (
	ingressAddress = netip.MustParseAddr("fd00::1")
	nodeAddress    = netip.MustParseAddr("fd00::2")
)

type options struct {
	udp                                  int
	key, peer, endpoint, listen, forward string
}

// stream is what both net.TCPConn and gVisor's are.
type stream interface {
	io.ReadWriteCloser
	CloseWrite() error
}

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: go-ingress ingress|node OPTIONS")
	}
	var o options
	flags := flag.NewFlagSet("go-ingress", flag.ExitOnError)
	flags.IntVar(&o.udp, "udp", 0, "WireGuard's port")
	flags.StringVar(&o.key, "key", "", "own private key")
	flags.StringVar(&o.peer, "peer", "", "the other end's public key")
	flags.StringVar(&o.endpoint, "endpoint", "", "where the other end is")
	flags.StringVar(&o.listen, "listen", "", "where visitors come")
	flags.StringVar(&o.forward, "forward", "", "the node's service")
	flags.Parse(os.Args[2:])
	switch os.Args[1] {
	case "ingress":
		ingress(o)
	case "node":
		node(o)
	default:
		log.Fatalf("no such role: %s", os.Args[1])
	}
}

func tunnel(o options, own, other netip.Addr, keepalive int) *netstack.Net {
	tun, network, err := netstack.CreateNetTUN([]netip.Addr{own}, nil, mtu)
	must(err)
	d := device.NewDevice(tun, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, ""))
	config := fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nallowed_ip=%s/128\n", o.key, o.udp, o.peer, other)
	if o.endpoint != "" {
		config += "endpoint=" + o.endpoint + "\n"
	}
	if keepalive > 0 {
		config += fmt.Sprintf("persistent_keepalive_interval=%d\n", keepalive)
	}
	must(d.IpcSet(config))
	must(d.Up())
	return network
}

func ingress(o options) {
	network := tunnel(o, ingressAddress, nodeAddress, 0)
	listener, err := net.Listen("tcp", o.listen)
	must(err)
	fmt.Println("ready")
	for {
		visitor, err := listener.Accept()
		must(err)
		go serve(network, visitor.(*net.TCPConn))
	}
}

func serve(network *netstack.Net, visitor *net.TCPConn) {
	defer visitor.Close()
	name, hello, err := readHello(visitor)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	inner, err := network.DialContextTCPAddrPort(ctx, netip.AddrPortFrom(nodeAddress, peerapiPort))
	if err != nil {
		return
	}
	defer inner.Close()
	fmt.Fprintf(inner, "POST /v0/ingress HTTP/1.1\r\nHost: peer\r\nTailscale-Ingress-Src: %s\r\n"+
		"Tailscale-Ingress-Target: %s:443\r\nContent-Length: 0\r\n\r\n", visitor.RemoteAddr(), name)
	reader := bufio.NewReader(inner)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		return
	}
	if _, err = inner.Write(hello); err == nil {
		join(visitor, inner, reader)
	}
}

var errFound = errors.New("the name is known")

// readOnly is a connection that crypto/tls can read a ClientHello from and do nothing else with.
type readOnly struct {
	net.Conn
	reader io.Reader
}

func (c readOnly) Read(p []byte) (int, error)  { return c.reader.Read(p) }
func (c readOnly) Write(p []byte) (int, error) { return 0, io.ErrClosedPipe }

func readHello(visitor net.Conn) (name string, hello []byte, err error) {
	var held bytes.Buffer
	err = tls.Server(readOnly{visitor, io.TeeReader(visitor, &held)}, &tls.Config{
		GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			name = info.ServerName
			return nil, errFound
		},
	}).Handshake()
	if name == "" {
		return "", nil, err
	}
	return name, held.Bytes(), nil
}

func node(o options) {
	keepalive := 0
	if o.endpoint != "" {
		keepalive = 25
	}
	network := tunnel(o, nodeAddress, ingressAddress, keepalive)
	listener, err := network.ListenTCPAddrPort(netip.AddrPortFrom(nodeAddress, peerapiPort))
	must(err)
	fmt.Println("ready")
	for {
		inner, err := listener.Accept()
		must(err)
		go accept(o, inner.(stream))
	}
}

func accept(o options, inner stream) {
	defer inner.Close()
	reader := bufio.NewReader(inner)
	request, err := http.ReadRequest(reader)
	if err != nil || request.Header.Get("Tailscale-Ingress-Target") == "" {
		return
	}
	service, err := net.Dial("tcp", o.forward)
	if err != nil {
		io.WriteString(inner, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer service.Close()
	if _, err = io.WriteString(inner, "HTTP/1.1 101 Switching Protocols\r\n\r\n"); err == nil {
		join(service.(*net.TCPConn), inner, reader)
	}
}

// join carries bytes both ways, and each side's end, until both have ended. What inner has to say is read from reader,
// which may hold some of it already.
func join(outer, inner stream, reader *bufio.Reader) {
	done := make(chan struct{})
	go func() {
		io.Copy(inner, outer)
		inner.CloseWrite()
		close(done)
	}()
	rest, _ := reader.Peek(reader.Buffered())
	if _, err := outer.Write(rest); err == nil {
		io.Copy(outer, inner)
	}
	outer.CloseWrite()
	<-done
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
