package tailnet

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tailscale.com/ipn"

	"funnel-ingress/tests/lab"
)

// TestNAT has the kernel's NAT before the node and the kernel's packet filter before the ingress, each as a person may have them:
//
//	home                     router                     internet                      cloud
//	tailscaled, backend ---- NAT ---------------------- coordination server, DERP, ---- packet filter, funnel-ingress
//	192.168.77.2             203.0.113.2                STUN, visitors                  198.51.100.2
//
// One stream lasts all the time, whatever becomes of the path, and visitors come in all the time.
func TestNAT(t *testing.T) {
	ours(t)
	eachStarts(t, func(t *testing.T, start starter) {
		if lab.Apart(t) {
			testNAT(t, start)
		}
	})
}

func testNAT(t *testing.T, start starter) {
	net := newNetwork(t)
	w := newWorldWith(t, start(t, lab.NewRegion(t, 1)), lab.NewIngressIn(t, net.cloud, ports...), nil)
	net.port = w.in.UDP.Port()
	net.filter(t, udpRefused)
	net.translate(t, symmetric)

	w.join(t)
	daemon := w.newTailscaled()
	daemon.In = net.home
	home := w.addNode(t, "home", alice, daemon)
	var backend string
	net.home.Do(func() {
		backend = lab.ServeConns(t, lab.OverTLS(lab.CA.Issue(t, public("home")), lab.Echo))
	})
	home.Serve(t, &ipn.ServeConfig{
		AllowFunnel: map[ipn.HostPort]bool{hostPort(home.Name, 443): true},
		TCP:         map[uint16]*ipn.TCPPortHandler{443: {TCPForward: backend}},
	})
	w.awaitServed(t, public("home"), joining)
	p := &pathway{w: w, node: home, stream: lab.Visit(t, w.in.TLS[443], public("home"))}

	// Each side's pings come to the other's door, and no pair of addresses fits.
	p.await(t, "both sides have tried the direct way twice", func() bool {
		return net.refused(t, net.router) >= 2 && net.refused(t, net.cloud) >= 2
	})
	p.expect(t, "symmetric NAT, no open port", `relay 1`)

	net.filter(t, portOpen)
	p.expect(t, "symmetric NAT, the ingress's port is open", `direct 203\.0\.113\.2:\d+ .*`)
	port := net.nodePort(t, home)
	if text, _ := w.in.Command(t, "status"); strings.Contains(text, fmt.Sprintf("direct 203.0.113.2:%d ", port)) {
		t.Errorf("the NAT kept port %d, which a symmetric one does not", port)
	}

	net.filter(t, udpRefused)
	net.translate(t, noDatagrams)
	p.expect(t, "no datagrams", `relay 1`)

	net.translate(t, portRestricted)
	daemon.Run(t, "debug", "restun") // as it does by itself every 20 to 26 s
	p.expect(t, "NAT that keeps ports, no open port", fmt.Sprintf(`direct 203\.0\.113\.2:%d .*`, port))
}

// network is what is between the node and the ingress.
type network struct {
	home, router, cloud *lab.Namespace
	port                uint16 // of the ingress's WireGuard
}

// newNetwork lays the cables. This process is the internet.
func newNetwork(t *testing.T) *network {
	n := &network{home: lab.NewNamespace(t), router: lab.NewNamespace(t), cloud: lab.NewNamespace(t)}
	n.home.Address = netip.MustParseAddr("192.168.77.2")
	n.cloud.Address = netip.MustParseAddr("198.51.100.2")
	lab.Address = netip.MustParseAddr("203.0.113.1")
	var internet *lab.Namespace
	internet.Run(t, `
		ip link add wan type veth peer name wan netns `+n.router.Path()+`
		ip link add cloud type veth peer name wan netns `+n.cloud.Path()+`
		ip addr add 203.0.113.1/24 dev wan
		ip addr add 198.51.100.1/24 dev cloud
		ip link set wan up
		ip link set cloud up
		echo 1 >/proc/sys/net/ipv4/ip_forward`)
	n.cloud.Run(t, `
		ip addr add 198.51.100.2/24 dev wan
		ip link set wan up
		ip route add default via 198.51.100.1`)
	n.router.Run(t, `
		ip link add lan type veth peer name lan netns `+n.home.Path()+`
		ip addr add 203.0.113.2/24 dev wan
		ip addr add 192.168.77.1/24 dev lan
		ip link set wan up
		ip link set lan up
		ip route add default via 203.0.113.1
		echo 1 >/proc/sys/net/ipv4/ip_forward`)
	n.home.Run(t, `
		ip addr add 192.168.77.2/24 dev lan
		ip link set lan up
		ip route add default via 192.168.77.1`)
	return n
}

// nodePort is where the node's WireGuard is.
func (n *network) nodePort(t *testing.T, node *lab.Node) uint16 {
	status, err := node.Client.StatusWithoutPeers(context.Background())
	lab.Must(t, err)
	for _, text := range status.Self.Addrs {
		if at, err := netip.ParseAddrPort(text); err == nil && at.Addr() == n.home.Address {
			return at.Port()
		}
	}
	t.Fatalf("the node has no endpoint of its own in %v", status.Self.Addrs)
	return 0
}

// What the router at home does with UDP.
const (
	// symmetric: another port for each address that is talked to
	symmetric = `
		chain udp_source { type nat hook postrouting priority srcnat; oifname wan meta l4proto udp masquerade fully-random; }`
	noDatagrams = `
		chain silence { type filter hook forward priority -1; meta l4proto udp drop; }`
	// portRestricted: the port that the node has, for all; from outside only who was talked to. It knows nothing of what was
	// talked before, for in conntrack this is another zone.
	portRestricted = `
		chain other { type filter hook prerouting priority raw; meta l4proto udp ct zone set 1; }
		chain udp_source { type nat hook postrouting priority srcnat; oifname wan meta l4proto udp masquerade; }`
)

// translate sets up the router. Nothing comes in that does not answer something, over TCP it is a NAT like any other.
func (n *network) translate(t *testing.T, udp string) {
	n.load(t, n.router, udp+`
		chain tcp_source { type nat hook postrouting priority srcnat; oifname wan meta l4proto tcp masquerade; }
		chain passing { type filter hook forward priority filter; policy drop; iifname lan accept; ct state established,related accept; }
		chain coming { type filter hook input priority filter; iifname wan meta l4proto udp counter name refused drop; }`)
}

// What the cloud's packet filter does with UDP that answers nothing.
const (
	udpRefused = `meta l4proto udp counter name refused drop;`
	portOpen   = ``
)

func (n *network) filter(t *testing.T, udp string) {
	n.load(t, n.cloud, `
		chain coming { type filter hook input priority filter; iifname wan ct state established,related accept; `+udp+` }`)
}

// load replaces the rules in one step.
func (n *network) load(t *testing.T, ns *lab.Namespace, rules string) {
	ns.Run(t, "nft -f - <<'END'\ntable ip lab\ndelete table ip lab\ntable ip lab {\n\t\tcounter refused { }"+rules+"\n}\nEND")
}

var packets = regexp.MustCompile(`packets (\d+)`)

// refused is how many datagrams found no door since the rules are as they are.
func (n *network) refused(t *testing.T, ns *lab.Namespace) int {
	count, err := strconv.Atoi(packets.FindStringSubmatch(ns.Run(t, "nft list counter ip lab refused"))[1])
	lab.Must(t, err)
	return count
}

// pathway is how the node is reached, and a stream that goes there.
type pathway struct {
	w      *world
	node   *lab.Node
	stream *tls.Conn
}

// await has the stream go on until the condition holds.
func (p *pathway) await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	began := time.Now()
	lab.Eventually(t, what, 30*time.Second, func() bool {
		lab.Must(t, p.stream.SetDeadline(time.Now().Add(joining)))
		if got := lab.Say(t, p.stream, "still here"); got != "still here" {
			t.Errorf("echo %q", got)
		}
		return condition()
	})
	t.Logf("%s: after %v", what, time.Since(began).Round(time.Millisecond))
}

// expect is that the ingress's status comes to say so, its metrics and the node do too, and that everything goes there.
func (p *pathway) expect(t *testing.T, what, way string) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^ *` + p.node.Key.String() + `  ` + way + `$`)
	direct := strings.HasPrefix(way, "direct")
	ways := map[bool]string{true: "direct", false: "relay"}
	p.await(t, what+", "+ways[direct], func() bool {
		status, _ := p.w.in.Command(t, "status")
		before := p.relayed(t)
		for range 10 {
			lab.Say(t, p.stream, "which way")
		}
		between := p.relayed(t) - before
		return line.MatchString(status) && p.metric(t, `tailnet_paths{way="`+ways[direct]+`"}`) == 1 &&
			p.metric(t, `tailnet_paths{way="`+ways[!direct]+`"}`) == 0 && (p.at(t).IsValid() == direct) &&
			(direct && between == 0 || !direct && between >= 20)
	})
	if verdict, line := p.w.in.Verdict(t, 443, public(p.node.Host)); verdict != lab.Served {
		t.Errorf("%s: %s, %s", what, verdict, line.Reason)
	}
}

// at is where the node finds the ingress, if directly.
func (p *pathway) at(t *testing.T) netip.AddrPort {
	at, _ := netip.ParseAddrPort(lab.Direct(t, p.node, ingressHost))
	return at
}

// relayed counts datagrams through relays, in both directions.
func (p *pathway) relayed(t *testing.T) int {
	return p.metric(t, `relay_datagrams_total{direction="in"}`) + p.metric(t, `relay_datagrams_total{direction="out"}`)
}

func (p *pathway) metric(t *testing.T, name string) int {
	t.Helper()
	text, _ := p.w.in.Command(t, "metrics")
	_, after, found := strings.Cut(text, "\nfunnel_"+name+" ")
	value, _, _ := strings.Cut(after, "\n")
	n, err := strconv.Atoi(value)
	if !found || err != nil {
		t.Fatalf("metric %s is %q", name, value)
	}
	return n
}
