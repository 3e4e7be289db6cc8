package main

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
)

// table says which node a name leads to. Peers are kept as the netmap tells of them, names are looked up in an index.
type table struct {
	policy *policy

	mu    sync.Mutex
	peers map[tailcfg.NodeID]*tailcfg.Node
	hosts map[string]tailcfg.NodeID // the first label of a peer's name
	users map[tailcfg.UserID]string // their login names
}

// target is a node as one visitor needs it.
type target struct {
	node      string
	offer     string // name:port, what the node is asked for
	addresses []netip.AddrPort
}

// follow keeps the table, over breaks.
func (t *table) follow(ctx context.Context, client *local.Client) {
	for ctx.Err() == nil {
		watcher, err := client.WatchIPNBus(ctx, ipn.NotifyInitialNetMap|ipn.NotifyNoNetMap|ipn.NotifyPeerChanges)
		for err == nil {
			var n ipn.Notify
			if n, err = watcher.Next(); err == nil {
				t.take(&n)
			}
		}
		if watcher != nil {
			watcher.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (t *table) take(n *ipn.Notify) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.NetMap != nil || t.peers == nil { // there is none in the first, if the node has not joined yet
		t.peers, t.hosts, t.users = map[tailcfg.NodeID]*tailcfg.Node{}, map[string]tailcfg.NodeID{}, map[tailcfg.UserID]string{}
	}
	if n.NetMap != nil {
		for id, user := range n.NetMap.UserProfiles {
			t.users[id] = user.LoginName()
		}
		for _, peer := range n.NetMap.Peers {
			t.put(peer.AsStruct())
		}
	}
	for id, user := range n.UserProfiles {
		t.users[id] = user.LoginName()
	}
	for _, id := range n.PeersRemoved {
		t.drop(id)
	}
	for _, peer := range n.PeersChanged {
		t.put(peer)
	}
}

func (t *table) put(peer *tailcfg.Node) {
	t.drop(peer.ID)
	t.peers[peer.ID] = peer
	t.hosts[host(peer)] = peer.ID
}

func (t *table) drop(id tailcfg.NodeID) {
	if peer := t.peers[id]; peer != nil {
		delete(t.peers, id)
		if t.hosts[host(peer)] == id {
			delete(t.hosts, host(peer))
		}
	}
}

func host(n *tailcfg.Node) string {
	label, _, _ := strings.Cut(n.Name, ".")
	return label
}

// find looks a visitor's name up; the reason why not is in the access log's words.
func (t *table) find(name string, port int) (found target, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var label, offer string
	if i := slices.IndexFunc(t.policy.Names, func(row nameRow) bool { return row.Name == name }); i >= 0 {
		label, offer = t.policy.Names[i].Node, t.policy.Names[i].Target
	} else if before, ok := strings.CutSuffix(name, "."+t.policy.PublicSuffix); ok && t.policy.PublicSuffix != "" {
		label = before
	}
	id, ok := t.hosts[label]
	if !ok || !t.allowed(t.peers[id]) {
		return target{}, "unknown_name"
	}
	if !slices.Contains(t.policy.Ports, port) {
		return target{}, "port_not_funnelled"
	}
	peer := t.peers[id]
	if offer == "" {
		offer = hostPort(strings.TrimSuffix(peer.Name, "."), port)
	}
	found = target{node: string(peer.StableID), offer: offer}
	for _, prefix := range peer.Addresses {
		if at := t.port(peer, prefix.Addr(), port); at != 0 {
			found.addresses = append(found.addresses, netip.AddrPortFrom(prefix.Addr(), at))
		}
	}
	return found, ""
}

// allowed is the operator's half of the opt-in.
func (t *table) allowed(peer *tailcfg.Node) bool {
	if len(t.policy.Tags) == 0 && len(t.policy.Users) == 0 {
		return true
	}
	return slices.ContainsFunc(peer.Tags, func(tag string) bool { return slices.Contains(t.policy.Tags, tag) }) ||
		len(peer.Tags) == 0 && slices.Contains(t.policy.Users, t.users[peer.User])
}

// port is where a visitor goes at an address of the node: its peerapi, or the service itself.
func (t *table) port(peer *tailcfg.Node, address netip.Addr, port int) uint16 {
	if t.policy.Transport == "tcp" {
		return uint16(port)
	}
	proto := tailcfg.PeerAPI6
	if address.Is4() {
		proto = tailcfg.PeerAPI4
	}
	for _, service := range peer.Hostinfo.Services().All() {
		if service.Proto == proto {
			return service.Port
		}
	}
	return 0
}
