package interop

import (
	"encoding/json"
	"strings"
	"testing"

	"tailscale.com/ipn"

	"funnel-ingress/tests/lab"
)

// TestProbe walks the way of a visitor to a stock node, and stops where the node says no. What every step says where, and
// what it advises, is tests/e2e/test_probe.py's.
func TestProbe(t *testing.T) {
	t.Parallel()
	tailnet, in := newTailnet(t), newIngress(t)
	in.Config["offer"] = map[string]any{"timeout": "2s"}
	web := tailnet.addNode("web", in, in.UDP)
	web.serve(t, passthrough(t, web.Node))
	in.rows = []map[string]any{web.row(nil)}
	in.start(t)

	for _, c := range []struct {
		what   string
		change func(*testing.T)
		reason string // of each step that failed; empty: none did
	}{
		{"all is well", func(*testing.T) {}, ""},
		{"no capability", grant(web, Grant{}), "node_no_cap"},
		{"the funnel is off", func(t *testing.T) {
			grant(web, Grant{true, true})(t)
			web.serve(t, &ipn.ServeConfig{})
		}, "node_denied"},
		{"no peerapi", rows(in, web, map[string]any{"peerapi4": 9, "peerapi6": 9,
			"funnel": map[string]any{"admin": true, "node": "ask"}}), "node_unreachable"},
	} {
		t.Run(c.what, func(t *testing.T) {
			c.change(t)
			output, status := in.Command(t, "probe", "--json", "--public", in.TLS[443], web.Name)
			if (status == 0) != (c.reason == "") {
				t.Errorf("status %d", status)
			}
			passed, stopped := map[string]int{}, 0
			for line := range strings.Lines(output) {
				var step struct{ Step, Status, Reason, Advice string }
				lab.Must(t, json.Unmarshal([]byte(line), &step))
				if step.Status == "ok" {
					passed[step.Step]++
				} else if step.Reason != "" {
					stopped++
					if step.Reason != c.reason || step.Advice == "" {
						t.Errorf("stopped so: %s", line)
					}
				}
			}
			if passed["session"] != 2 || stopped == 0 && (passed["offer"] != 2 || passed["public"] != 1) ||
				stopped != 0 && stopped != 2 { // each family walks for itself
				t.Errorf("probe said\n%s", output)
			}
		})
	}
}
