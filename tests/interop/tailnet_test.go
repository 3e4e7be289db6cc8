package interop

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"tailscale.com/tailcfg"

	"funnel-ingress/tests/lab"
)

// Tailnet is a coordination server, and who listens to what nodes report to it.
type Tailnet struct {
	t       testing.TB
	control *lab.Control
	pings   *httptest.Server // where nodes report what PingRequests brought
}

func newTailnet(t testing.TB) *Tailnet {
	tn := &Tailnet{t: t, control: lab.NewControl(t, append([]int{mixedPort}, tlsPorts...), lab.NewRegion(t, 1)), pings: httptest.NewServer(http.NotFoundHandler())}
	t.Cleanup(tn.pings.Close)
	return tn
}

// Grant says for which of its families a node is told that the ingress may funnel to it.
type Grant struct{ v4, v6 bool }

// ingressPeer is what a node must be told about the ingress; docs/tailscale.md gives the reason of each field.
// endpoint is where the node finds the ingress's WireGuard, which is another address than its own when a test's NAT
// stands between.
func ingressPeer(in *Ingress, endpoint netip.AddrPort) *tailcfg.Node {
	var prefixes []netip.Prefix
	for _, address := range ingressAddresses {
		prefixes = append(prefixes, netip.PrefixFrom(address, address.BitLen()))
	}
	return &tailcfg.Node{
		ID: ingressID, StableID: "ingress", Name: "ingress." + lab.Domain + ".", User: ingressUser,
		Key: in.key.Public(), Addresses: prefixes, AllowedIPs: prefixes,
		Endpoints: []netip.AddrPort{endpoint}, IsWireGuardOnly: true, MachineAuthorized: true,
	}
}

const (
	ingressID   tailcfg.NodeID = 1 << 20
	ingressUser tailcfg.UserID = 1 << 20
)

// ingressGrant is the packet filter of a node that lets nobody in but the ingress, and that only to its peerapi.
func ingressGrant(self *tailcfg.Node, grant Grant) []tailcfg.FilterRule {
	rule := tailcfg.FilterRule{}
	destinations := []netip.Prefix{}
	for _, prefix := range self.Addresses {
		if prefix.Addr().Is4() && grant.v4 || prefix.Addr().Is6() && grant.v6 {
			destinations = append(destinations, prefix)
		}
	}
	for _, address := range ingressAddresses {
		rule.SrcIPs = append(rule.SrcIPs, address.String())
	}
	rule.CapGrant = []tailcfg.CapGrant{{Dsts: destinations, Caps: []tailcfg.PeerCapability{tailcfg.PeerCapabilityIngress}}}
	return []tailcfg.FilterRule{rule}
}

// exportNode turns what a coordination server knows of a node into its row of our feed. Which of its ports are
// funnelled is not told to control: the row has those that policy allows, and the node's refusal decides.
func exportNode(n *tailcfg.Node, policy tailcfg.NodeCapMap) map[string]any {
	row := map[string]any{
		"id":     string(n.StableID),
		"names":  []any{strings.TrimSuffix(n.Name, ".")},
		"key":    n.Key.String(),
		"ports":  allowedPorts(policy),
		"funnel": map[string]any{"admin": hasAttribute(policy, tailcfg.NodeAttrFunnel), "node": optIn(n)},
	}
	addresses := []string{}
	for _, prefix := range n.Addresses {
		addresses = append(addresses, prefix.Addr().String())
	}
	row["addresses"] = addresses
	endpoints := []string{}
	for _, endpoint := range n.Endpoints {
		endpoints = append(endpoints, endpoint.String())
	}
	row["endpoints"] = endpoints[:min(len(endpoints), 16)]
	for _, service := range n.Hostinfo.Services().All() {
		if service.Proto == tailcfg.PeerAPI4 || service.Proto == tailcfg.PeerAPI6 {
			row[string(service.Proto)] = service.Port
		}
	}
	return row
}

// optIn is the node's half of the double opt-in: it announces that some funnel is on.
func optIn(n *tailcfg.Node) any { return n.Hostinfo.IngressEnabled() }

func hasAttribute(policy tailcfg.NodeCapMap, attribute tailcfg.NodeCapability) bool {
	_, ok := policy[attribute]
	return ok
}

func allowedPorts(policy tailcfg.NodeCapMap) []int {
	ports := []int{}
	for attribute := range policy {
		if list, ok := strings.CutPrefix(string(attribute), string(tailcfg.CapabilityFunnelPorts)+"?ports="); ok {
			for item := range strings.SplitSeq(list, ",") {
				if port, err := strconv.Atoi(item); err == nil {
					ports = append(ports, port)
				}
			}
		}
	}
	return ports
}
