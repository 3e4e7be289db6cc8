package interop

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"

	"funnel-ingress/tests/lab"
)

// Node is a stock Tailscale node that control tells about the ingress.
type Node struct {
	*lab.Node
	tailnet *Tailnet
	told    int // netmaps pushed

	// What it is told of the ingress; changed by tests, who then call tell.
	ingress    *tailcfg.Node // nil: nothing
	ingressKey key.NodePublic
	grant      Grant
}

// addNode starts a node that has joined, knows the ingress, and lets it funnel.
func (tn *Tailnet) addNode(host string, in *Ingress, endpoint netip.AddrPort) *Node {
	tn.t.Helper()
	return tn.addNodeAs(host, in, endpoint, &lab.Tsnet{})
}

func (tn *Tailnet) addNodeAs(host string, in *Ingress, endpoint netip.AddrPort, process lab.Process) *Node {
	t := tn.t
	t.Helper()
	n := &Node{Node: lab.NewNode(t, host, tn.control.BaseURL(), process), tailnet: tn,
		ingress: ingressPeer(in, endpoint), ingressKey: in.key.Public(), grant: Grant{true, true}}
	lab.CA.Install(t, n.Dir, n.Name)
	n.start(t)
	return n
}

func (n *Node) start(t testing.TB) {
	t.Helper()
	n.Start(t)
	if !n.Key.IsZero() { // it has been there: control only says what it is told to say from now on
		n.tell(t)
	}
	n.Up(t)
	n.tell(t)
	n.awaitAnnounced(t)
}

// restart is what an update of the node is: state kept, session lost. A node that moves comes back with another
// endpoint and, its old peerapi port being in other hands, with another peerapi.
func (n *Node) restart(t testing.TB, moves bool) {
	t.Helper()
	before := n.announced()
	n.Port = lab.AddrPort(n.announcedOnLoopback(t)).Port()
	n.Close(t)
	if moves {
		n.Port = 0
		lab.Occupy(t, lab.PeerapiPort(before))
	}
	n.start(t)
	lab.Eventually(t, "the node announces its place", 20*time.Second, func() bool {
		now := n.announced()
		return (lab.LoopbackEndpoint(now) != lab.LoopbackEndpoint(before)) == moves &&
			(lab.PeerapiPort(now) != lab.PeerapiPort(before)) == moves
	})
}

// tell sends the node the whole netmap as it should be now, and returns when it has taken it over.
func (n *Node) tell(t testing.TB) {
	t.Helper()
	control := n.tailnet.control
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	lab.Must(t, control.AwaitNodeInMapRequest(ctx, n.Key))
	netmap, err := control.MapResponse(&tailcfg.MapRequest{NodeKey: n.Key})
	lab.Must(t, err)
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
	if !control.AddRawMapResponse(n.Key, netmap) {
		t.Fatalf("node %s does not listen to control", n.Host)
	}
	lab.Eventually(t, "the node takes over "+mark, 20*time.Second, func() bool {
		status, err := n.Client.Status(context.Background())
		if err != nil || status.Self == nil || status.User[status.Self.UserID].DisplayName != mark {
			return false
		}
		peer := status.Peer[n.ingressKey]
		return (peer != nil && peer.InMagicSock) == (n.ingress != nil)
	})
}

// announced is what control knows of the node.
func (n *Node) announced() *tailcfg.Node { return n.tailnet.control.Node(n.Key) }

func (n *Node) announcedOnLoopback(t testing.TB) string {
	t.Helper()
	if at := lab.LoopbackEndpoint(n.announced()); at != "" {
		return at
	}
	t.Fatalf("node %s knows no endpoint on loopback: %v", n.Host, n.announced().Endpoints)
	return ""
}

// awaitAnnounced waits until control knows where the node is.
func (n *Node) awaitAnnounced(t testing.TB) {
	t.Helper()
	lab.Eventually(t, "control knows endpoint and peerapi of "+n.Host, 20*time.Second, func() bool {
		at := n.announced()
		return at != nil && lab.PeerapiPort(at) != 0 && lab.LoopbackEndpoint(at) != ""
	})
}

// serve sets what the node serves, and waits until control knows whether a funnel is on.
func (n *Node) serve(t testing.TB, config *ipn.ServeConfig) {
	t.Helper()
	n.Serve(t, config)
	n.awaitFunnel(t, config.IsFunnelOn())
}

func (n *Node) awaitFunnel(t testing.TB, on bool) {
	t.Helper()
	lab.Eventually(t, "control knows of the funnel", 20*time.Second, func() bool {
		return n.announced().Hostinfo.IngressEnabled() == on
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
	if !n.tailnet.control.AddPingRequest(n.Key, request) {
		t.Fatalf("node %s does not listen to control", n.Host)
	}
}
