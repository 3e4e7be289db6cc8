package interop

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tailscale.com/tsnet"

	"funnel-ingress/tests/lab"
)

// TestAnswers is about the answers that a stock node keeps for requests which the ingress never makes. Another stock node
// makes them, and what came back, byte for byte, is then what the ingress gets from a node.
func TestAnswers(t *testing.T) {
	t.Parallel()
	control := lab.NewControl(t, tlsPorts, lab.NewRegion(t, 1)) // lets every node funnel to every other
	target, asker := lab.NewNode(t, "target", control.BaseURL(), &lab.Tsnet{}), &lab.Tsnet{}
	other := lab.NewNode(t, "asker", control.BaseURL(), asker)
	for _, n := range []*lab.Node{target, other} {
		n.Start(t)
		n.Up(t)
	}
	target.Serve(t, passthrough(t, target))
	v4, _ := target.Addresses(t)
	lab.Eventually(t, "control knows the node's peerapi", 20*time.Second, func() bool {
		return lab.PeerapiPort(control.Node(target.Key)) != 0
	})
	peerapi := netip.AddrPortFrom(v4, lab.PeerapiPort(control.Node(target.Key)))

	in := newIngress(t)
	p := newPeer(t, in, 1)
	in.rows = []map[string]any{p.row(nil)}
	in.start(t)
	p.carrier = startWireguardGo(p)

	source, name := "Tailscale-Ingress-Src: 203.0.113.5:40000", "Tailscale-Ingress-Target: "+target.Name+":443"
	for _, c := range []struct {
		what, request, status string
	}{
		{"another method", request("GET /v0/ingress", "peer", source, name), "405 Method Not Allowed"},
		{"another path", request("POST /v0/funnel", "peer", source, name), "404 Not Found"}, // as from a build without funnel
		{"another host", request("POST /v0/ingress", target.Name, source, name), "403 Forbidden"},
		{"an origin", request("POST /v0/ingress", "peer", source, name, "Origin: https://example.org"), "403 Forbidden"},
		{"no source", request("POST /v0/ingress", "peer", name), "400 Bad Request"},
		{"a source that is a name", request("POST /v0/ingress", "peer", "Tailscale-Ingress-Src: a.test:1", name), "400 Bad Request"},
		{"no target", request("POST /v0/ingress", "peer", source), "400 Bad Request"},
		{"a target without a port", request("POST /v0/ingress", "peer", source, "Tailscale-Ingress-Target: a.test"), "400 Bad Request"},
	} {
		t.Run(c.what, func(t *testing.T) {
			answer := fetch(t, asker.Server, peerapi, c.request)
			if !strings.HasPrefix(answer, "HTTP/1.1 "+c.status+"\r\n") {
				t.Errorf("the stock node answered %q", answer)
			}
			p.answers(answer)
			checkRefused(t, in, 443, p.name, lab.InternalError, "node_refused")
		})
	}
}

func request(line, host string, headers ...string) string {
	return fmt.Sprintf("%s HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", line, host, strings.Join(headers, "\r\n"))
}

// fetch is one request and its answer, as raw bytes, on a connection of its own.
func fetch(t *testing.T, from *tsnet.Server, to netip.AddrPort, request string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), lab.VisitTimeout)
	defer cancel()
	conn, err := from.Dial(ctx, "tcp", to.String())
	lab.Must(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(lab.VisitTimeout))
	_, err = io.WriteString(conn, request)
	lab.Must(t, err)
	var raw bytes.Buffer
	answer, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &raw)), nil)
	lab.Must(t, err)
	_, err = io.Copy(io.Discard, answer.Body)
	lab.Must(t, err)
	return raw.String()
}
