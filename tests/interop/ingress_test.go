package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tailscale.com/types/key"
)

// What the ingress is inside every tunnel of the tests.
var ingressAddresses = []netip.Addr{netip.MustParseAddr("100.64.200.1"), netip.MustParseAddr("fd7a:115c:a1e0::c801")}

// Listeners that every test's ingress has, by what the visitor dials.
const (
	rawPort   = 2222  // raw TCP with a fixed target
	mixedPort = 10443 // one socket for both families: IPv4 visitors arrive as mapped addresses
)

var tlsPorts = []int{443, 8443, 10000, 4443, 5001, 5002}

// What no program may write: the words of sanitizers, and of our own assertions.
var defect = regexp.MustCompile(`AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:| bug at=`)

// Ingress is one funnel-ingress with a directory, ports and a key of its own.
type Ingress struct {
	t      testing.TB
	dir    string
	key    key.NodePrivate
	udp    netip.AddrPort   // where its WireGuard is
	tls    map[int]string   // public port -> loopback address to dial
	proxy  string           // the same as 5002, behind a balancer that says visitors by PROXY protocol
	raw    string           // rawPort
	mixed  int              // mixedPort's socket
	config map[string]any   // written by start and reload
	rows   []map[string]any // the feed's nodes, likewise
	cmd    *exec.Cmd        // nil: does not run
	ended  chan error       // its exit
}

// newIngress makes one that does not run yet; it ends with the test, which fails if it ended badly.
func newIngress(t testing.TB) *Ingress {
	in := &Ingress{t: t, dir: t.TempDir(), key: key.NewNode(), tls: map[int]string{}}
	listen := []map[string]any{}
	for _, port := range tlsPorts {
		in.tls[port] = fmt.Sprintf("127.0.0.1:%d", freePort(t))
		listen = append(listen, map[string]any{"address": in.tls[port], "protocol": "tls", "public_port": port})
	}
	in.proxy = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	in.raw = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	in.mixed = freePort(t)
	listen = append(listen,
		map[string]any{"address": in.proxy, "protocol": "tls", "public_port": 5002, "proxy_protocol": "require",
			"proxy_from": []string{"127.0.0.0/8"}},
		map[string]any{"address": in.raw, "protocol": "tcp", "public_port": rawPort,
			"target": fmt.Sprintf("raw.%s:%d", domain, rawPort)},
		map[string]any{"address": fmt.Sprintf("[::]:%d", in.mixed), "protocol": "tls", "public_port": mixedPort})
	in.udp = netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", freePort(t)))
	in.config = map[string]any{
		"listen":     listen,
		"wireguard":  map[string]any{"listen": []string{in.udp.String()}},
		"identities": []map[string]any{{"name": "default", "key_file": "ingress.key", "addresses": ingressAddresses}},
		"feed":       map[string]any{"type": "file", "path": "nodes.json"},
		"limits":     map[string]any{"connections_per_source": 100000, "connections_per_node": 100000},
		"stream":     map[string]any{"half_close_timeout": "1s"},
		"drain":      map[string]any{"timeout": "1s"},
		"log":        map[string]any{"level": "debug", "access": "stdout"},
		"state_dir":  "state",
	}
	must(t, os.Mkdir(in.path("state"), 0o700))
	raw := in.key.Raw32()
	must(t, os.WriteFile(in.path("ingress.key"), []byte(base64Text(raw[:])+"\n"), 0o600))
	t.Cleanup(in.close)
	return in
}

func (in *Ingress) path(name string) string { return filepath.Join(in.dir, name) }

// write puts configuration and feed where the ingress reads them, each in one step.
func (in *Ingress) write(t testing.TB) {
	t.Helper()
	rows := in.rows
	if rows == nil {
		rows = []map[string]any{}
	}
	feed := map[string]any{"version": 1, "nodes": rows}
	for name, content := range map[string]any{"ingress.yaml": in.config, "nodes.json": feed} {
		text, err := json.MarshalIndent(content, "", "  ")
		must(t, err)
		must(t, os.WriteFile(in.path(name+".new"), text, 0o600))
		must(t, os.Rename(in.path(name+".new"), in.path(name)))
	}
}

// start returns when it is ready for visitors.
func (in *Ingress) start(t testing.TB) *Ingress {
	t.Helper()
	in.write(t)
	mark := len(in.log())
	out, err := os.OpenFile(in.path("out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	defer out.Close()
	errors, err := os.OpenFile(in.path("err"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	defer errors.Close()
	in.cmd = exec.Command(ingressProgram, "-c", "ingress.yaml")
	in.cmd.Dir, in.cmd.Stdout, in.cmd.Stderr = in.dir, out, errors
	in.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	must(t, in.cmd.Start())
	in.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan error) { ended <- cmd.Wait() }(in.cmd, in.ended)
	in.waitLog(t, ` server .*event=ready`, mark)
	return in
}

// reload has it read configuration and feed again; it must find them right.
func (in *Ingress) reload(t testing.TB) {
	t.Helper()
	in.write(t)
	mark := len(in.log())
	must(t, in.cmd.Process.Signal(syscall.SIGHUP))
	in.waitLog(t, ` reload .*event=done`, mark)
}

// stop ends it in order.
func (in *Ingress) stop(t testing.TB) {
	t.Helper()
	must(t, in.cmd.Process.Signal(syscall.SIGTERM))
	cmd := in.cmd
	in.cmd = nil
	select {
	case err := <-in.ended:
		if err != nil {
			t.Errorf("the ingress ended badly: %v", err)
		}
	case <-time.After(15 * time.Second):
		t.Error("the ingress did not end within 15 s of SIGTERM")
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-in.ended
	}
}

// kill ends it and its server at once: a crash, as nodes see it.
func (in *Ingress) kill() {
	syscall.Kill(-in.cmd.Process.Pid, syscall.SIGKILL)
	<-in.ended
	in.cmd = nil
	eventually(in.t, "its server is gone too, and its ports are free", 10*time.Second, func() bool {
		for _, address := range append(slices.Collect(maps.Values(in.tls)), in.proxy, in.raw) {
			listener, err := net.Listen("tcp", address)
			if err != nil {
				return false
			}
			listener.Close()
		}
		socket, err := net.ListenPacket("udp", in.udp.String())
		if err != nil {
			return false
		}
		socket.Close()
		return true
	})
}

func (in *Ingress) close() {
	if in.cmd != nil {
		in.stop(in.t)
	}
	if line := defect.FindString(in.log()); line != "" {
		in.t.Errorf("the ingress's log has %q", line)
	}
	if in.t.Failed() {
		in.t.Logf("the ingress's log ended so:\n%s", tail(in.log(), 60))
		in.t.Logf("its access log ended so:\n%s", tail(in.text("out"), 12))
	}
}

func (in *Ingress) text(name string) string {
	data, _ := os.ReadFile(in.path(name))
	return string(data)
}

func (in *Ingress) log() string { return in.text("err") }

// waitLog waits for a line of the log behind mark.
func (in *Ingress) waitLog(t testing.TB, pattern string, mark int) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	eventually(t, "the ingress logs "+pattern, 15*time.Second, func() bool { return re.MatchString(in.log()[mark:]) })
}

// Access is a line of the access log.
type Access struct {
	Client, Name, Target, Node, Reason, Detail string
	Port                                       int
	BytesUp                                    int64   `json:"bytes_up"`
	BytesDown                                  int64   `json:"bytes_down"`
	OfferMs                                    float64 `json:"offer_ms"`
}

// accesses is the access log so far.
func (in *Ingress) accesses() []Access {
	var all []Access
	for line := range bytes.Lines([]byte(in.text("out"))) {
		var a Access
		if bytes.HasSuffix(line, []byte("\n")) && json.Unmarshal(line, &a) == nil {
			all = append(all, a)
		}
	}
	return all
}

// access is the line about this visitor behind the first `since`, which comes when the stream has ended.
func (in *Ingress) access(t testing.TB, client string, since int) (found Access) {
	t.Helper()
	eventually(t, "an access line about "+client, 10*time.Second, func() bool {
		all := in.accesses()[since:]
		i := slices.IndexFunc(all, func(a Access) bool { return a.Client == client })
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	})
	return found
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

var portsGiven sync.Map

// freePort is free for TCP and UDP, given to nobody else in this run, and below the range that the kernel gives to
// outgoing connections.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 20000 + rand.IntN(12000)
		if _, taken := portsGiven.LoadOrStore(port, true); taken {
			continue
		}
		address := fmt.Sprintf(":%d", port)
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		tcp.Close()
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		udp.Close()
		return port
	}
	t.Fatal("no free port")
	return 0
}
