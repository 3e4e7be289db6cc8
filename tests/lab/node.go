package lab

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// Node is a stock Tailscale node.
type Node struct {
	T       testing.TB
	Host    string // the first label of its name
	Name    string // its whole name
	Dir     string // its state
	URL     string // of its coordination server
	AuthKey string // if that wants one
	Port    uint16 // of its WireGuard; 0: any
	Process Process
	Client  *local.Client  // its LocalAPI
	Key     key.NodePublic // once it is up
}

// Process is what runs a node: Tsnet or Tailscaled. State in the node's directory outlives it.
type Process interface {
	Start(t testing.TB, n *Node) *local.Client // returns when the LocalAPI answers
	Up(ctx context.Context, n *Node) error     // joins; returns when the node is running
	Close() error
}

// NewNode makes one that does not run yet. It ends with the test.
func NewNode(t testing.TB, host, url string, process Process) *Node {
	n := &Node{T: t, Host: host, Name: host + "." + Domain, Dir: t.TempDir(), URL: url, Process: process}
	t.Cleanup(func() {
		if n.Client != nil {
			n.Process.Close()
		}
	})
	return n
}

// Start begins a life of it.
func (n *Node) Start(t testing.TB) {
	t.Helper()
	n.Client = n.Process.Start(t, n)
}

// Up joins it to its tailnet.
func (n *Node) Up(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	Must(t, n.Process.Up(ctx, n))
	status, err := n.Client.StatusWithoutPeers(ctx)
	Must(t, err)
	n.Key = status.Self.PublicKey
}

// Close ends this life of it.
func (n *Node) Close(t testing.TB) {
	t.Helper()
	Must(t, n.Process.Close())
	n.Client = nil
}

// Addresses are its own in the tailnet.
func (n *Node) Addresses(t testing.TB) (v4, v6 netip.Addr) {
	t.Helper()
	status, err := n.Client.StatusWithoutPeers(context.Background())
	Must(t, err)
	for _, address := range status.TailscaleIPs {
		if address.Is4() {
			v4 = address
		} else {
			v6 = address
		}
	}
	return v4, v6
}

// Direct is the UDP address at which a node finds a peer; empty: over DERP, or not at all.
func Direct(t testing.TB, n *Node, host string) string {
	t.Helper()
	status, err := n.Client.Status(context.Background())
	Must(t, err)
	for _, peer := range status.Peer {
		if peer.HostName == host {
			return peer.CurAddr
		}
	}
	return ""
}

// Serve sets what it serves, as `tailscale serve set-raw` does.
func (n *Node) Serve(t testing.TB, config *ipn.ServeConfig) {
	t.Helper()
	Must(t, n.Client.SetServeConfig(context.Background(), config))
}

// PeerapiPort is where its peerapi is, 0 if control does not know.
func PeerapiPort(n *tailcfg.Node) uint16 {
	for _, service := range n.Hostinfo.Services().All() {
		if service.Proto == tailcfg.PeerAPI4 {
			return service.Port
		}
	}
	return 0
}

// LoopbackEndpoint is where its WireGuard is on this machine, as STUN told it; empty when it does not know yet.
func LoopbackEndpoint(n *tailcfg.Node) string {
	for _, endpoint := range n.Endpoints {
		if endpoint.Addr().IsLoopback() {
			return endpoint.String()
		}
	}
	return ""
}
