package interop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun/netstack"
	"tailscale.com/types/key"

	wgtun "golang.zx2c4.com/wireguard/tun"

	"funnel-ingress/tests/lab"
)

// Peer is a node of our own making: another implementation's WireGuard below gVisor's TCP, and on that a peerapi which
// notes what it is asked and answers as a test wants.
type Peer struct {
	t         testing.TB
	in        *Ingress
	name      string
	key       key.NodePrivate
	addresses []netip.Addr
	udp       int            // where its WireGuard is
	calls     netip.AddrPort // where it calls the ingress; zero: it waits to be called
	keepalive int            // seconds; 0: off
	packets   *packetPump
	carrier   carrier // the WireGuard that runs now

	answer func(*http.Request) string // the node's answer to an offer
	stream func(net.Conn)             // what follows a 101

	mu      sync.Mutex
	sources []netip.AddrPort // of every connection that came
	offers  []offer
}

type offer struct {
	source, target, host string
	v4                   bool
}

// A carrier is a running WireGuard between a peer's packets and UDP.
type carrier interface{ close() }

// peerapi port of all peers; both families
const peerPort = 41112

const accepted = "HTTP/1.1 101 Switching Protocols\r\n\r\n"

func newPeer(t testing.TB, in *Ingress, number int) *Peer {
	p := &Peer{t: t, in: in, key: key.NewNode(), udp: lab.FreePort(t), name: fmt.Sprintf("peer%d.test", number),
		addresses: []netip.Addr{
			netip.AddrFrom4([4]byte{100, 65, 0, byte(number)}),
			netip.MustParseAddr(fmt.Sprintf("fd7a:115c:a1e0::65:%x", number)),
		},
		answer: func(*http.Request) string { return accepted },
		stream: lab.Echo,
	}
	device, stack, err := netstack.CreateNetTUN(p.addresses, nil, 1280)
	lab.Must(t, err)
	p.packets = newPacketPump(device)
	for _, address := range p.addresses {
		listener, err := stack.ListenTCPAddrPort(netip.AddrPortFrom(address, peerPort))
		lab.Must(t, err)
		go p.accept(listener)
	}
	t.Cleanup(func() {
		if p.carrier != nil {
			p.carrier.close()
		}
		device.Close()
	})
	return p
}

// row is the peer in the feed; it names an endpoint when the peer waits to be called.
func (p *Peer) row(changes map[string]any) map[string]any {
	row := map[string]any{
		"id": p.name, "names": []any{p.name}, "key": p.key.Public().String(), "addresses": p.addresses,
		"peerapi4": peerPort, "peerapi6": peerPort, "ports": []int{443, rawPort}, "endpoints": []string{},
		"funnel": map[string]any{"admin": true, "node": true},
	}
	if !p.calls.IsValid() {
		row["endpoints"] = []string{fmt.Sprintf("127.0.0.1:%d", p.udp)}
	}
	for field, value := range changes {
		row[field] = value
	}
	return row
}

func (p *Peer) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go p.serve(conn)
	}
}

func (p *Peer) serve(conn net.Conn) {
	defer conn.Close()
	from := lab.AddrPort(conn.RemoteAddr().String())
	p.mu.Lock()
	p.sources = append(p.sources, from)
	p.mu.Unlock()
	reader := bufio.NewReader(conn)
	request, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.offers = append(p.offers, offer{
		source: request.Header.Get("Tailscale-Ingress-Src"), target: request.Header.Get("Tailscale-Ingress-Target"),
		host: request.Host, v4: from.Addr().Is4(),
	})
	answer := p.answer(request)
	p.mu.Unlock()
	io.WriteString(conn, answer)
	if answer == accepted {
		p.stream(&lab.Peeked{Conn: conn, Reader: reader})
	} else if answer != "" {
		io.Copy(io.Discard, conn) // as net/http does, which keeps the connection for another request
	}
}

// taken returns what came until now, and forgets it.
func (p *Peer) taken() (sources []netip.AddrPort, offers []offer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sources, offers = p.sources, p.offers
	p.sources, p.offers = nil, nil
	return
}

func (p *Peer) answers(answer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = func(*http.Request) string { return answer }
}

// packetPump takes packets out of gVisor and lets one WireGuard after the other have them; the inner connections do not
// notice when it changes.
type packetPump struct {
	wgtun.Device
	out chan []byte
}

func newPacketPump(device wgtun.Device) *packetPump {
	// more than gVisor ever has in flight (6 MiB): a queue of 1024 lost the last 500 segments of a stream, after which gVisor
	// (with its RACK, which stock nodes have off) sends two segments a retransmission timeout, for minutes
	pump := &packetPump{Device: device, out: make(chan []byte, 16384)}
	go func() {
		for {
			buffer, sizes := [][]byte{make([]byte, 1500)}, []int{0}
			if _, err := device.Read(buffer, sizes, 0); err != nil {
				return
			}
			select {
			case pump.out <- buffer[0][:sizes[0]]:
			default: // nobody carries packets now: lost, as on a wire
			}
		}
	}()
	return pump
}

// tap is the packet device of one life of wireguard-go.
type tap struct {
	*packetPump
	events chan wgtun.Event
	closed chan struct{}
	once   sync.Once
}

func (p *packetPump) tap() *tap {
	t := &tap{packetPump: p, events: make(chan wgtun.Event, 1), closed: make(chan struct{})}
	t.events <- wgtun.EventUp
	return t
}

func (t *tap) Events() <-chan wgtun.Event { return t.events }

func (t *tap) Read(buffers [][]byte, sizes []int, offset int) (int, error) {
	select {
	case packet := <-t.out:
		sizes[0] = copy(buffers[0][offset:], packet)
		return 1, nil
	case <-t.closed:
		return 0, os.ErrClosed
	}
}

func (t *tap) Close() error {
	t.once.Do(func() {
		close(t.closed)
		close(t.events)
	})
	return nil
}

// visitRaw opens the raw listener, whose fixed target is the peer under test, and waits for an echo.
func visitRaw(t testing.TB, in *Ingress, limit time.Duration) net.Conn {
	t.Helper()
	began := time.Now()
	conn := lab.Dial(t, in.raw)
	if got := lab.Say(t, conn, "hello"); got != "hello" {
		t.Errorf("echo %q", got)
	}
	if took := time.Since(began); took > limit {
		t.Errorf("the visit took %v", took)
	}
	return conn
}

func distinct(all []netip.AddrPort) int {
	sorted := slices.SortedFunc(slices.Values(all), netip.AddrPort.Compare)
	return len(slices.Compact(sorted))
}
