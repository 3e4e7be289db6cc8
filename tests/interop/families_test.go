package interop

import (
	"testing"
	"time"

	"funnel-ingress/tests/lab"
)

// TestFamilies shows that a node is served as long as one of its families works and is allowed. What the feed says
// wrong here is what a node looks like that has lost a family.
func TestFamilies(t *testing.T) {
	tailnet, in := newTailnet(t), newIngress(t)
	web := tailnet.addNode("web", in, in.UDP)
	web.serve(t, passthrough(t, web.Node))
	row := web.row(nil)
	addresses := row["addresses"].([]string)
	in.rows = []map[string]any{row}
	in.start(t)
	visitWithin(t, in, web.Name, recovery) // the session is not what is measured below

	for _, c := range []struct {
		what  string
		grant Grant
		row   map[string]any
	}{
		{"both known, both allowed", Grant{true, true}, nil},
		{"only peerapi4 known", Grant{true, true}, map[string]any{"peerapi6": nil}},
		{"only peerapi6 known", Grant{true, true}, map[string]any{"peerapi4": nil}},
		{"the IPv4 port refuses", Grant{true, true}, map[string]any{"peerapi4": 9}},
		{"the IPv6 port refuses", Grant{true, true}, map[string]any{"peerapi6": 9}},
		{"IPv4 is silent", Grant{true, true}, map[string]any{"addresses": []string{"100.64.77.77", addresses[1]}}},
		{"IPv6 is silent", Grant{true, true}, map[string]any{"addresses": []string{addresses[0], "fd7a:115c:a1e0::7777"}}},
		{"the grant is for IPv4 only", Grant{v4: true}, nil},
		{"the grant is for IPv6 only", Grant{v6: true}, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			if c.grant != web.grant {
				web.grant = c.grant
				web.tell(t)
			}
			in.rows = []map[string]any{web.row(c.row)}
			in.reload(t)
			for range 8 { // who wins the race differs
				began := time.Now()
				if seen := lab.Ask(t, lab.Browser(t, in.TLS[443], false), web.Name); seen.Host != web.Name {
					t.Errorf("the site saw %+v", seen)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("the visit took %v", took)
				}
			}
		})
	}
}
