package interop

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"tailscale.com/types/key"

	"funnel-ingress/tests/lab"
)

// What the ingress is inside every tunnel of the tests.
var ingressAddresses = []netip.Addr{netip.MustParseAddr("100.64.200.1"), netip.MustParseAddr("fd7a:115c:a1e0::c801")}

// Listeners that every test's ingress has, by what the visitor dials.
const (
	rawPort   = 2222  // raw TCP with a fixed target
	mixedPort = 10443 // one socket for both families: IPv4 visitors arrive as mapped addresses
)

var tlsPorts = []int{443, 8443, 10000, 4443, 5001, 5002}

// Ingress is one funnel-ingress with an identity of its own, fed from a file.
type Ingress struct {
	*lab.Ingress
	key     key.NodePrivate
	proxies map[int]string   // 5001 and 5002 once more, behind a balancer that says visitors by PROXY protocol
	raw     string           // rawPort
	mixed   int              // mixedPort's socket
	rows    []map[string]any // the feed's nodes
}

func newIngress(t testing.TB) *Ingress {
	in := &Ingress{Ingress: lab.NewIngress(t, tlsPorts...), key: key.NewNode(), proxies: map[int]string{}}
	for _, port := range []int{5001, 5002} {
		in.proxies[port] = in.Listen(map[string]any{"protocol": "tls", "public_port": port, "proxy_protocol": "require",
			"proxy_from": []string{"127.0.0.0/8"}})
	}
	in.raw = in.Listen(map[string]any{"protocol": "tcp", "public_port": rawPort,
		"target": fmt.Sprintf("raw.%s:%d", lab.Domain, rawPort)})
	in.mixed = lab.FreePort(t)
	in.Listen(map[string]any{"address": fmt.Sprintf("[::]:%d", in.mixed), "protocol": "tls", "public_port": mixedPort})
	in.Config["identities"] = []map[string]any{
		{"name": "default", "key_file": "ingress.key", "addresses": ingressAddresses}}
	in.Config["feed"] = map[string]any{"type": "file", "path": "nodes.json"}
	raw := in.key.Raw32()
	text := base64.StdEncoding.EncodeToString(raw[:])
	lab.Must(t, os.WriteFile(in.Path("ingress.key"), []byte(text+"\n"), 0o600))
	return in
}

func (in *Ingress) start(t testing.TB) {
	t.Helper()
	in.feed()
	in.Start(t)
}

func (in *Ingress) reload(t testing.TB) {
	t.Helper()
	in.feed()
	in.Reload(t)
}

func (in *Ingress) feed() {
	rows := in.rows
	if rows == nil {
		rows = []map[string]any{}
	}
	in.Files["nodes.json"] = map[string]any{"version": 1, "nodes": rows}
}
