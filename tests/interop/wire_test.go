package interop

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"funnel-ingress/tests/lab"
)

// Wire is the UDP way between one node and the ingress, and at will the NAT on it: the ingress sees the node at
// outside, the node sees the ingress at inside.
type Wire struct {
	t                 testing.TB
	inside, outside   *net.UDPConn
	ingress           netip.AddrPort
	mu                sync.Mutex
	node              netip.AddrPort // learned from what it sends, as a NAT does; zero: nobody is there yet
	toNode, toIngress atomic.Int64   // datagrams carried
	handshakes        atomic.Int64   // initiations among them, both ways
}

func newWire(t testing.TB, ingress netip.AddrPort) *Wire {
	w := &Wire{t: t, ingress: ingress, inside: listenUDP(t), outside: listenUDP(t)}
	go w.carryOut()
	go w.carryIn(w.outside)
	return w
}

func listenUDP(t testing.TB) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	lab.Must(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetReadBuffer(4 << 20)
	return conn
}

func udpAddress(conn *net.UDPConn) netip.AddrPort { return conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// forget is what a NAT does that lost its mapping: from now on the node appears elsewhere, and what comes for it at
// the old place is dropped.
func (w *Wire) forget() {
	fresh := listenUDP(w.t)
	w.mu.Lock()
	old := w.outside
	w.outside, w.node = fresh, netip.AddrPort{}
	w.mu.Unlock()
	old.Close()
	go w.carryIn(fresh)
}

func (w *Wire) carryOut() {
	buffer := make([]byte, 65536)
	for {
		n, from, err := w.inside.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		w.mu.Lock()
		w.node = from
		outside := w.outside
		w.mu.Unlock()
		w.count(&w.toIngress, buffer[:n])
		outside.WriteToUDPAddrPort(buffer[:n], w.ingress)
	}
}

func (w *Wire) carryIn(outside *net.UDPConn) {
	buffer := make([]byte, 65536)
	for {
		n, _, err := outside.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		w.mu.Lock()
		node := w.node
		w.mu.Unlock()
		if node.IsValid() {
			w.count(&w.toNode, buffer[:n])
			w.inside.WriteToUDPAddrPort(buffer[:n], node)
		}
	}
}

func (w *Wire) count(direction *atomic.Int64, datagram []byte) {
	direction.Add(1)
	if len(datagram) > 0 && datagram[0] == 1 {
		w.handshakes.Add(1)
	}
}
