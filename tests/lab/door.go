package lab

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
)

// Door is where an HTTP server is reached, at one address for as long as the test lasts. Shut, nobody comes in and whoever
// was in is thrown out, hijacked connections too; what the server knows stays.
type Door struct {
	Address string
	handler http.Handler
	wrap    func(net.Listener) net.Listener // TLS, or nil

	mu       sync.Mutex
	listener net.Listener // nil: shut
	inside   map[net.Conn]bool
}

// NewDoor opens one.
func NewDoor(t testing.TB, handler http.Handler, wrap func(net.Listener) net.Listener) *Door {
	d := &Door{Address: netip.AddrPortFrom(Address, 0).String(), handler: handler, wrap: wrap, inside: map[net.Conn]bool{}}
	d.Open(t)
	t.Cleanup(d.Shut)
	return d
}

// Open lets clients in, where they came in before.
func (d *Door) Open(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", d.Address)
	Must(t, err)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Address, d.listener = listener.Addr().String(), listener
	var outer net.Listener = doorway{listener, d}
	if d.wrap != nil {
		outer = d.wrap(outer)
	}
	go (&http.Server{Handler: d.handler, ErrorLog: log.New(io.Discard, "", 0)}).Serve(outer)
}

func (d *Door) Shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener == nil {
		return
	}
	d.listener.Close()
	d.listener = nil
	for conn := range d.inside {
		conn.Close()
	}
	clear(d.inside)
}

// doorway knows who is inside.
type doorway struct {
	net.Listener
	door *Door
}

func (w doorway) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w.door.mu.Lock()
	defer w.door.mu.Unlock()
	if w.door.listener != w.Listener { // shut in between
		conn.Close()
		return nil, net.ErrClosed
	}
	w.door.inside[conn] = true
	return guest{conn, w.door}, nil
}

type guest struct {
	net.Conn
	door *Door
}

func (g guest) Close() error {
	g.door.mu.Lock()
	delete(g.door.inside, g.Conn)
	g.door.mu.Unlock()
	return g.Conn.Close()
}
