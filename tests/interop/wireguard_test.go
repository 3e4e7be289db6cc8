package interop

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"funnel-ingress/tests/lab"
)

// wireguardGo is golang.zx2c4.com/wireguard, which `wireguard` on other systems and most Go programs are.
type wireguardGo struct {
	tap    *tap
	device *device.Device
}

func startWireguardGo(p *Peer) carrier {
	level := device.LogLevelSilent
	if os.Getenv("V") != "" {
		level = device.LogLevelVerbose
	}
	tap := p.packets.tap()
	d := device.NewDevice(tap, conn.NewDefaultBind(), device.NewLogger(level, p.name+": "))
	own, ingress := p.key.Raw32(), p.in.key.Public().Raw32()
	var config strings.Builder
	fmt.Fprintf(&config, "private_key=%s\nlisten_port=%d\n", hex.EncodeToString(own[:]), p.udp)
	fmt.Fprintf(&config, "public_key=%s\n", hex.EncodeToString(ingress[:]))
	for _, address := range ingressAddresses {
		fmt.Fprintf(&config, "allowed_ip=%s\n", netip.PrefixFrom(address, address.BitLen()))
	}
	if p.calls.IsValid() {
		fmt.Fprintf(&config, "endpoint=%s\n", p.calls)
	}
	if p.keepalive > 0 {
		fmt.Fprintf(&config, "persistent_keepalive_interval=%d\n", p.keepalive)
	}
	lab.Must(p.t, d.IpcSet(config.String()))
	// a socket of its life before may still be closing
	lab.Eventually(p.t, "wireguard-go comes up", 5*time.Second, func() bool { return d.Up() == nil })
	return wireguardGo{tap, d}
}

func (w wireguardGo) close() {
	w.tap.Close() // first, or a dying device goes on taking packets, one lost here and one there
	w.device.Close()
}

func TestWireguardGo(t *testing.T) {
	t.Parallel()
	testImplementation(t, startWireguardGo)
}

// rawTo is a feed row's names with which the raw listener leads to a peer.
func rawTo(p *Peer) []any {
	return []any{p.name, map[string]any{"name": "raw." + lab.Domain, "target": fmt.Sprintf("%s:%d", p.name, rawPort)}}
}

// testImplementation has one WireGuard implementation in both roles.
func testImplementation(t *testing.T, start func(*Peer) carrier) {
	open := func(t *testing.T, prepare func(*Ingress, *Peer)) (*Ingress, *Peer) {
		in := newIngress(t)
		p := newPeer(t, in, 1)
		prepare(in, p)
		in.rows = []map[string]any{p.row(map[string]any{"names": rawTo(p)})}
		in.start(t)
		p.carrier = start(p)
		return in, p
	}

	t.Run("the ingress initiates", func(t *testing.T) {
		in, p := open(t, func(*Ingress, *Peer) {})
		visitRaw(t, in, recovery)
		t.Run("again, when the peer lost its session", func(t *testing.T) {
			for range 2 {
				p.carrier.close()
				p.carrier = start(p)
				visitRaw(t, in, recovery)
			}
		})
		t.Run("again and again, when itself lost it", func(t *testing.T) {
			for range 10 {
				in.Kill()
				in.start(t)
				visitRaw(t, in, recovery)
			}
		})
	})
	t.Run("the peer initiates", func(t *testing.T) {
		in, p := open(t, func(in *Ingress, p *Peer) { p.calls, p.keepalive = in.UDP, 1 })
		visitRaw(t, in, recovery)
		t.Run("again and again, under one stream", func(t *testing.T) {
			conn := lab.Dial(t, in.raw)
			sent := lab.RandomBytes(1 << 20)
			got := make([]byte, len(sent))
			began := time.Now()
			for life := range 12 { // each ends in the middle of a transfer both ways
				conn.SetDeadline(time.Now().Add(lab.VisitTimeout))
				go conn.Write(sent)
				_, err := io.ReadFull(conn, got[:len(got)/2])
				lab.Must(t, err)
				p.carrier.close()
				p.carrier = start(p)
				if _, err := io.ReadFull(conn, got[len(got)/2:]); err != nil || !bytes.Equal(got, sent) {
					t.Fatalf("life %d: %v", life, err)
				}
			}
			t.Logf("12 lives of the peer took %v", time.Since(began).Round(time.Millisecond))
		})
		t.Run("from elsewhere", func(t *testing.T) {
			conn := visitRaw(t, in, recovery)
			p.carrier.close()
			p.udp = lab.FreePort(t)
			p.carrier = start(p)
			if got := lab.Say(t, conn, "roamed"); got != "roamed" {
				t.Errorf("echo %q", got)
			}
		})
	})
}

// TestOffers looks at offers from the node's side, and at answers that stock nodes give rarely or never.
func TestOffers(t *testing.T) {
	t.Parallel()
	in := newIngress(t)
	in.Config["offer"] = map[string]any{"timeout": "2s"}
	p := newPeer(t, in, 1)
	in.rows = []map[string]any{p.row(map[string]any{"names": rawTo(p)})}
	in.start(t)
	p.carrier = startWireguardGo(p)
	visitRaw(t, in, recovery)

	t.Run("both families are raced, one is asked", func(t *testing.T) {
		p.taken()
		const visits = 50
		for range visits {
			conn := visitRaw(t, in, recovery).(*net.TCPConn)
			_, offers := p.taken()
			if len(offers) != 1 || offers[0].source != conn.LocalAddr().String() ||
				offers[0].target != fmt.Sprintf("%s:%d", p.name, rawPort) {
				t.Fatalf("offers: %+v", offers)
			}
			conn.SetLinger(0)
			conn.Close()
		}
	})
	t.Run("source ports are not used again while the node may know the old connection", func(t *testing.T) {
		p.taken()
		const visits = 1000
		for range visits {
			conn := visitRaw(t, in, recovery).(*net.TCPConn)
			conn.SetLinger(0)
			conn.Close()
		}
		sources, offers := p.taken()
		if len(offers) != visits || distinct(sources) != len(sources) {
			t.Errorf("%d offers, %d connections, %d different source ports", len(offers), len(sources), distinct(sources))
		}
	})

	refusal := func(status, body string) string {
		return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"+
			"Date: Mon, 23 Nov 2026 07:00:00 GMT\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
	}
	// grants, and what a node knows of us, are per family: these two no's are not believed before both have said it
	const once, bothFamilies = 1, 2
	for _, c := range []struct {
		what, answer, alert, reason string
		asked                       int
	}{
		{"no capability", refusal("403 Forbidden", "denied; no ingress cap\n"), lab.AccessDenied, "node_no_cap", bothFamilies},
		{"closed without a byte", "", lab.InternalError, "node_unknown_peer", bothFamilies},
		{"denied", refusal("403 Forbidden", "denied\n"), lab.UnrecognizedName, "node_denied", once},
		{"wrong host", refusal("403 Forbidden", "invalid peerapi request\n"), lab.InternalError, "node_refused", once},
		{"wrong method", refusal("405 Method Not Allowed", "only POST allowed\n"), lab.InternalError, "node_refused", once},
		{"wrong header", refusal("400 Bad Request", "Tailscale-Ingress-Src header invalid; want ip:port\n"), lab.InternalError,
			"node_refused", once},
		{"a build without funnel", refusal("404 Not Found", "unsupported peerapi path\n"), lab.InternalError,
			"node_refused", once},
		{"a failing node", refusal("500 Internal Server Error", "oops\n"), lab.InternalError, "node_refused", once},
		{"not HTTP", "SSH-2.0-OpenSSH_9.2\r\n", lab.InternalError, "node_protocol", once},
		{"a plain 200", refusal("200 OK", "hello"), lab.InternalError, "node_protocol", once},
	} {
		t.Run(c.what, func(t *testing.T) {
			p.answers(c.answer)
			p.taken()
			checkRefused(t, in, 443, p.name, c.alert, c.reason)
			if _, offers := p.taken(); len(offers) != c.asked || c.asked == bothFamilies && offers[0].v4 == offers[1].v4 {
				t.Errorf("offers: %+v", offers)
			}
			p.answers(accepted)
			visitRaw(t, in, recovery)
		})
	}
	t.Run("silence", func(t *testing.T) {
		p.answers("HTTP/1.1 101 Switching")
		verdict, line := in.Verdict(t, 443, p.name)
		if verdict != lab.InternalError || line.Reason != "offer_timeout" {
			t.Errorf("%s, %s", verdict, line.Reason)
		}
	})
}

// TestRekeyByTimer keeps a stream going over REKEY_AFTER_TIME, for each side as the one who initiates.
func TestRekeyByTimer(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than two minutes")
	}
	t.Parallel()
	for _, c := range []struct {
		what  string
		calls bool // or else the ingress initiates
		start func(*Peer) carrier
		needs func(*testing.T)
	}{
		{"the ingress initiates", false, startWireguardGo, nil},
		{"wireguard-go initiates", true, startWireguardGo, nil},
		{"the ingress initiates to boringtun", false, startBoringtun, needBoringtun},
		{"boringtun initiates", true, startBoringtun, needBoringtun},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			if c.needs != nil {
				c.needs(t)
			}
			in := newIngress(t)
			wire := newWire(t, in.UDP)
			p := newPeer(t, in, 1)
			row := map[string]any{"names": rawTo(p)}
			if c.calls {
				p.calls = udpAddress(wire.inside)
			} else {
				wire.node = lab.AddrPort(fmt.Sprintf("127.0.0.1:%d", p.udp))
				row["endpoints"] = []string{udpAddress(wire.outside).String()}
			}
			p.keepalive = 1
			in.rows = []map[string]any{p.row(row)}
			in.start(t)
			p.carrier = c.start(p)
			conn := visitRaw(t, in, recovery)
			handshakes := wire.handshakes.Load()
			for end := time.Now().Add(126 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
				conn.SetDeadline(time.Now().Add(3 * time.Second))
				if got := lab.Say(t, conn, "tick"); got != "tick" {
					t.Fatalf("echo %q", got)
				}
			}
			if more := wire.handshakes.Load() - handshakes; more < 1 || more > 2 {
				t.Errorf("%d handshakes in 126 s", more)
			}
		})
	}
}
