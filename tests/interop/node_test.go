package interop

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

// Node is a stock Tailscale node.
type Node struct {
	tailnet *Tailnet
	name    string // its whole name
	host    string // the first label of it
	dir     string
	server  *tsnet.Server
	client  *local.Client
	key     key.NodePublic
	told    int    // netmaps pushed
	port    uint16 // of its WireGuard; 0: any

	// What it is told of the ingress; changed by tests, who then call tell.
	ingress    *tailcfg.Node // nil: nothing
	ingressKey key.NodePublic
	grant      Grant
}

// addNode starts a node that has joined, knows the ingress, and lets it funnel.
func (tn *Tailnet) addNode(host string, in *Ingress, endpoint netip.AddrPort) *Node {
	t := tn.t
	t.Helper()
	n := &Node{tailnet: tn, host: host, name: host + "." + domain, dir: t.TempDir(),
		ingress: ingressPeer(in, endpoint), ingressKey: in.key.Public(), grant: Grant{true, true}}
	authority.install(t, n.dir, n.name)
	n.start(t)
	t.Cleanup(func() { n.server.Close() })
	return n
}

func (n *Node) start(t testing.TB) {
	t.Helper()
	n.server = &tsnet.Server{Dir: n.dir, Hostname: n.host, ControlURL: n.tailnet.control.BaseURL(), Port: n.port,
		Logf: n.logf(), UserLogf: logger.Discard}
	must(t, n.server.Start())
	client, err := n.server.LocalClient()
	must(t, err)
	n.client = client
	if !n.key.IsZero() { // it has been there: control only says what it is told to say from now on
		n.tell(t)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	status, err := n.server.Up(ctx)
	must(t, err)
	n.key = status.Self.PublicKey
	n.tell(t)
	n.awaitAnnounced(t)
}

// logf shows a node's own log in V=1 runs.
func (n *Node) logf() logger.Logf {
	if os.Getenv("V") == "" {
		return logger.Discard
	}
	return func(format string, args ...any) { fmt.Fprintf(os.Stderr, n.host+": "+format+"\n", args...) }
}

// restart is what an update of the node is: state kept, session lost. A node that moves comes back with another
// endpoint and, its old peerapi port being in other hands, with another peerapi.
func (n *Node) restart(t testing.TB, moves bool) {
	t.Helper()
	before := n.announced()
	n.port = addrPort(n.announcedOnLoopback(t)).Port()
	must(t, n.server.Close())
	if moves {
		n.port = 0
		occupy(t, peerapiPort(before))
	}
	n.start(t)
	eventually(t, "the node announces its place", 20*time.Second, func() bool {
		now := n.announced()
		return (loopbackEndpoint(now) != loopbackEndpoint(before)) == moves &&
			(peerapiPort(now) != peerapiPort(before)) == moves
	})
}

// tell sends the node the whole netmap as it should be now, and returns when it has taken it over.
func (n *Node) tell(t testing.TB) {
	t.Helper()
	control := n.tailnet.control
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	must(t, control.AwaitNodeInMapRequest(ctx, n.key))
	netmap, err := control.MapResponse(&tailcfg.MapRequest{NodeKey: n.key})
	must(t, err)
	n.told++
	mark := fmt.Sprintf("netmap %d", n.told)
	netmap.Node.CapMap = *control.DefaultNodeCapabilities
	netmap.Peers, netmap.PeersRemoved = nil, []tailcfg.NodeID{ingressID}
	if n.ingress != nil {
		netmap.Peers, netmap.PeersRemoved = []*tailcfg.Node{n.ingress}, nil
	}
	netmap.UserProfiles = []tailcfg.UserProfile{
		{ID: netmap.Node.User, LoginName: "owner@example.net", DisplayName: mark},
		{ID: ingressUser, LoginName: "ingress@example.net"},
	}
	netmap.PacketFilter = nil
	netmap.PacketFilters = map[string][]tailcfg.FilterRule{"*": nil, "funnel": ingressGrant(netmap.Node, n.grant)}
	if !control.AddRawMapResponse(n.key, netmap) {
		t.Fatalf("node %s does not listen to control", n.host)
	}
	eventually(t, "the node takes over "+mark, 20*time.Second, func() bool {
		status, err := n.client.Status(context.Background())
		if err != nil || status.Self == nil || status.User[status.Self.UserID].DisplayName != mark {
			return false
		}
		peer := status.Peer[n.ingressKey]
		return (peer != nil && peer.InMagicSock) == (n.ingress != nil)
	})
}

// announced is what control knows of the node.
func (n *Node) announced() *tailcfg.Node { return n.tailnet.control.Node(n.key) }

func peerapiPort(n *tailcfg.Node) uint16 {
	for _, service := range n.Hostinfo.Services().All() {
		if service.Proto == tailcfg.PeerAPI4 {
			return service.Port
		}
	}
	return 0
}

// loopbackEndpoint is where its WireGuard is on this machine, as STUN told it; empty when it does not know yet.
func loopbackEndpoint(n *tailcfg.Node) string {
	for _, endpoint := range n.Endpoints {
		if endpoint.Addr().IsLoopback() {
			return endpoint.String()
		}
	}
	return ""
}

func (n *Node) announcedOnLoopback(t testing.TB) string {
	t.Helper()
	if at := loopbackEndpoint(n.announced()); at != "" {
		return at
	}
	t.Fatalf("node %s knows no endpoint on loopback: %v", n.host, n.announced().Endpoints)
	return ""
}

// awaitAnnounced waits until control knows where the node is.
func (n *Node) awaitAnnounced(t testing.TB) {
	t.Helper()
	eventually(t, "control knows endpoint and peerapi of "+n.host, 20*time.Second, func() bool {
		at := n.announced()
		return at != nil && peerapiPort(at) != 0 && loopbackEndpoint(at) != ""
	})
}

// serve sets what the node serves, as `tailscale serve set-raw` does, and waits until control knows whether a funnel
// is on.
func (n *Node) serve(t testing.TB, config *ipn.ServeConfig) {
	t.Helper()
	must(t, n.client.SetServeConfig(context.Background(), config))
	eventually(t, "control knows of the funnel", 20*time.Second, func() bool {
		return n.announced().Hostinfo.IngressEnabled() == config.IsFunnelOn()
	})
}

// row is the node in the feed; changes replace fields of it.
func (n *Node) row(changes map[string]any) map[string]any {
	row := exportNode(n.announced(), *n.tailnet.control.DefaultNodeCapabilities)
	for field, value := range changes {
		if value == nil {
			delete(row, field)
		} else {
			row[field] = value
		}
	}
	return row
}

var pingNumber atomic.Int64

// callIngress has control send a PingRequest: the only thing that makes a stock node call a WireGuard-only peer.
func (n *Node) callIngress(t testing.TB) {
	t.Helper()
	request := &tailcfg.PingRequest{
		URL:   fmt.Sprintf("%s/ping/%d", n.tailnet.pings.URL, pingNumber.Add(1)),
		Types: string(tailcfg.PingTSMP), IP: ingressAddresses[0],
	}
	if !n.tailnet.control.AddPingRequest(n.key, request) {
		t.Fatalf("node %s does not listen to control", n.host)
	}
}
