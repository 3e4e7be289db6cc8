package interop

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tailscale.com/ipn"
	"tailscale.com/tsnet"

	"funnel-ingress/tests/lab"
)

// TestStreams is about bytes after the 101: our inner TCP against the node's gVisor, and the node's way of ending.
func TestStreams(t *testing.T) {
	tailnet, in := newTailnet(t), newIngress(t)
	web := tailnet.addNode("web", in, in.UDP)
	config := passthrough(t, web.Node)
	for _, port := range []int{8443, 10000} {
		config.AllowFunnel[hostPort(web.Name, port)] = true
	}
	config.AllowFunnel[hostPort("raw."+lab.Domain, rawPort)] = true
	config.TCP[8443] = &ipn.TCPPortHandler{HTTPS: true}
	config.Web = map[ipn.HostPort]*ipn.WebServerConfig{
		hostPort(web.Name, 8443): {Handlers: map[string]*ipn.HTTPHandler{"/": {Proxy: lab.PlainSite(t)}}},
	}
	config.TCP[10000] = &ipn.TCPPortHandler{
		TCPForward: strings.TrimPrefix(lab.PlainSite(t), "http://"), TerminateTLS: web.Name,
	}
	config.TCP[rawPort] = &ipn.TCPPortHandler{TCPForward: lab.ServeConns(t, lab.Echo)}
	web.serve(t, config)
	app, err := web.Process.(*lab.Tsnet).Server.ListenFunnel("tcp", ":4443", tsnet.FunnelTLSConfig(
		&tls.Config{Certificates: []tls.Certificate{lab.CA.Issue(t, web.Name)}}))
	lab.Must(t, err)
	t.Cleanup(func() { app.Close() })
	go http.Serve(app, lab.Site)
	in.rows = []map[string]any{web.row(map[string]any{
		"names": []any{web.Name, "raw." + lab.Domain}, "ports": append([]int{rawPort}, tlsPorts...),
	})}
	in.start(t)

	t.Run("an early end of the visitor's loses no answer", func(t *testing.T) {
		for what, port := range map[string]int{
			"forwarded": 443, "HTTPS at the node": 8443, "TLS at the node": 10000, "ListenFunnel": 4443,
		} {
			t.Run(what, func(t *testing.T) {
				conn := lab.Dial(t, in.TLS[port])
				session := tls.Client(conn, lab.Trusting(web.Name))
				fmt.Fprintf(session, "GET /big?n=5000000 HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", web.Name)
				lab.Must(t, conn.CloseWrite())
				checkBig(t, session, 5000000)
				if line := in.Access(t, conn.LocalAddr().String(), 0); line.Reason != "ok" {
					t.Errorf("access log: %+v", line)
				}
			})
		}
	})
	t.Run("a held end is passed on in time", func(t *testing.T) {
		conn := lab.Dial(t, in.raw)
		lab.Say(t, conn, "hello")
		conn.Close()
		if line := in.Access(t, conn.LocalAddr().String(), 0); line.Reason != "half_close_timeout" {
			t.Errorf("access log: %+v", line)
		}
	})
	t.Run("large transfers both ways arrive whole", func(t *testing.T) {
		var group sync.WaitGroup
		began := time.Now()
		for i := range 4 {
			client := lab.Browser(t, in.TLS[[]int{443, 8443, 4443, 10000}[i]], false)
			group.Go(func() { download(t, client, web.Name, 16<<20) })
			group.Go(func() { upload(t, client, web.Name, 16<<20+i) })
		}
		group.Wait()
		t.Logf("128 MiB in %v", time.Since(began).Round(time.Millisecond))
	})
	t.Run("both ways at once in one stream", func(t *testing.T) {
		conn := lab.Dial(t, in.raw)
		sent := lab.RandomBytes(8 << 20)
		go conn.Write(sent)
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("echo of %d bytes: %v", len(sent), err)
		}
	})
	t.Run("a slow reader", func(t *testing.T) {
		conn := lab.Dial(t, in.TLS[443])
		session := tls.Client(conn, lab.Trusting(web.Name))
		fmt.Fprintf(session, "GET /big?n=30000000 HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", web.Name)
		time.Sleep(1500 * time.Millisecond) // all buffers fill, the inner window closes, and opens again
		checkBig(t, session, 30000000)
	})
	t.Run("many connections one after the other", func(t *testing.T) {
		const visitors, each = 8, 150
		since := len(in.Accesses())
		var group sync.WaitGroup
		for range visitors {
			group.Go(func() {
				for range each {
					conn := lab.Dial(t, in.raw)
					fmt.Fprintf(conn, "short\n")
					answer := make([]byte, 6)
					if _, err := io.ReadFull(conn, answer); err != nil {
						t.Errorf("visit: %v", err)
						return
					}
					conn.SetLinger(0)
					conn.Close()
				}
			})
		}
		group.Wait()
		for _, line := range in.Accesses()[since:] {
			if line.Port == rawPort && line.Reason != "visitor_reset" {
				t.Errorf("access log: %+v", line)
			}
		}
	})
}

// checkBig reads the answer to /big to the end.
func checkBig(t *testing.T, session io.Reader, size int) {
	t.Helper()
	answer, _ := io.ReadAll(session)
	head, body, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
	if len(body) != size || !bytes.Contains(head, fmt.Appendf(nil, "Digest: %x", sha256.Sum256(body))) {
		t.Errorf("%d bytes of %d; %s", len(body), size, head)
	}
}

func download(t *testing.T, client *http.Client, name string, size int) {
	answer, err := client.Get(fmt.Sprintf("https://%s/big?n=%d", name, size))
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || fmt.Sprintf("%x", sha256.Sum256(body)) != answer.Header.Get("Digest") {
		t.Errorf("download: %d bytes of %d: %v", len(body), size, err)
	}
}

func upload(t *testing.T, client *http.Client, name string, size int) {
	body := lab.RandomBytes(size)
	answer, err := client.Post("https://"+name+"/sum", "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	sum, _ := io.ReadAll(answer.Body)
	if string(sum) != fmt.Sprintf("%x", sha256.Sum256(body)) {
		t.Errorf("upload of %d bytes: %s", size, sum)
	}
}
