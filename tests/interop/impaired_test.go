package interop

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"funnel-ingress/tests/lab"
)

// TestImpaired is our TCP against gVisor's, bulk each way, over networks that lose, delay, mix up, and hold little. Every
// byte is compared; the rates are for a look.
func TestImpaired(t *testing.T) {
	t.Parallel()
	for _, network := range []struct {
		name, impair string
		bytes        int
	}{
		{"20 ms", "delay=10", 8 << 20},
		{"20 ms and 1 in 100 lost", "delay=10,loss=1", 2 << 20},
		{"40 ms, 3 in 100 lost, 2 late", "delay=20,jitter=2,loss=3,reorder=2", 1 << 20},
		{"20 Mbit/s, 20 ms, a queue of half of that", "delay=10,rate=20,queue=25", 4 << 20},
	} {
		t.Run(network.name, func(t *testing.T) {
			t.Parallel()
			in := newIngress(t)
			p := newPeer(t, in, 1)
			p.calls, p.keepalive, p.stream = startRelay(t, in.UDP, network.impair), 1, carryOneWay
			in.rows = []map[string]any{p.row(map[string]any{"names": rawTo(p)})}
			in.start(t)
			p.carrier = startWireguardGo(p)
			body := lab.RandomBytes(network.bytes)
			for _, way := range []string{"down", "up"} {
				conn := lab.Dial(t, in.raw)
				conn.SetDeadline(time.Now().Add(2 * time.Minute))
				began := time.Now()
				fmt.Fprintf(conn, "%s %d\n", way, len(body))
				if way == "up" {
					_, err := conn.Write(body)
					lab.Must(t, err)
				}
				got := make([]byte, len(body))
				if way == "up" {
					got = got[:1] // that all came, and as it should
				}
				_, err := io.ReadFull(conn, got)
				lab.Must(t, err)
				if way == "up" && got[0] != 'y' || way == "down" && !bytes.Equal(got, body) {
					t.Errorf("%s: what came is not what was sent", way)
				}
				t.Logf("%s: %.1f Mbit/s", way, float64(len(body))*8/1e6/time.Since(began).Seconds())
				conn.Close()
			}
		})
	}
}

// carryOneWay is a service that sends what it is asked for, or says whether it got what it was told of.
func carryOneWay(conn net.Conn) {
	var way string
	var size int
	reader := bufio.NewReader(conn)
	if _, err := fmt.Fscanf(reader, "%s %d\n", &way, &size); err != nil {
		return
	}
	body := lab.RandomBytes(size)
	if way == "down" {
		conn.Write(body)
		return
	}
	got, answer := make([]byte, size), "n"
	if _, err := io.ReadFull(reader, got); err == nil && bytes.Equal(got, body) {
		answer = "y"
	}
	io.WriteString(conn, answer)
}

// startRelay puts a bad network (tests/support/udprelay.c) before an address, and says where to send.
func startRelay(t testing.TB, target netip.AddrPort, impair string) netip.AddrPort {
	t.Helper()
	relay := exec.Command(filepath.Join(filepath.Dir(lab.IngressProgram), "tests/udprelay"), "--up", impair, "--down", impair,
		"127.0.0.1:0", target.String())
	relay.Stderr = os.Stderr
	relay.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := relay.StdoutPipe()
	lab.Must(t, err)
	lab.Must(t, relay.Start())
	t.Cleanup(func() {
		relay.Process.Signal(syscall.SIGTERM)
		io.Copy(io.Discard, output)
		relay.Wait()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	lab.Must(t, err)
	return lab.AddrPort(strings.TrimSpace(strings.TrimPrefix(line, "listening ")))
}
