package lab

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stun"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

// Region is a DERP region of its own: Tailscale's DERP server and a STUN server.
type Region struct {
	ID    int
	door  *Door // of DERP
	stun  *net.UDPConn
	dead  atomic.Bool // STUN is silent
	calls atomic.Int64
}

func NewRegion(t testing.TB, id int) *Region {
	server := derpserver.New(key.NewNode(), logger.Discard)
	t.Cleanup(func() { server.Close() })
	certificate := CA.Issue(t, "derp.test")
	r := &Region{ID: id}
	r.door = NewDoor(t, derpserver.Handler(server), func(l net.Listener) net.Listener {
		return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}})
	})
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(Address, 0)))
	Must(t, err)
	t.Cleanup(func() { conn.Close() })
	r.stun = conn
	go r.answer()
	return r
}

func (r *Region) answer() {
	buffer := make([]byte, 1500)
	for {
		n, from, err := r.stun.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		if id, err := stun.ParseBindingRequest(buffer[:n]); err == nil && !r.dead.Load() {
			r.calls.Add(1)
			r.stun.WriteToUDPAddrPort(stun.Response(id, from), from)
		}
	}
}

// Die takes the whole region down, Revive brings it back.
func (r *Region) Die() {
	r.dead.Store(true)
	r.door.Shut()
}

func (r *Region) Revive(t testing.TB) {
	t.Helper()
	r.dead.Store(false)
	r.door.Open(t)
}

// DERPMap is what a coordination server tells of these regions.
func DERPMap(regions ...*Region) *tailcfg.DERPMap {
	m := &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{}}
	for _, r := range regions {
		m.Regions[r.ID] = &tailcfg.DERPRegion{RegionID: r.ID, RegionCode: fmt.Sprintf("r%d", r.ID),
			RegionName: fmt.Sprintf("Region %d", r.ID), Nodes: []*tailcfg.DERPNode{{
				Name: fmt.Sprintf("%da", r.ID), RegionID: r.ID, HostName: Address.String(), IPv4: Address.String(), IPv6: "none",
				STUNPort: r.stun.LocalAddr().(*net.UDPAddr).Port, DERPPort: int(AddrPort(r.door.Address).Port()),
				InsecureForTests: true, STUNTestIP: Address.String(),
			}}}
	}
	return m
}
