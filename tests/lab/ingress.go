package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What no program may write: the words of sanitizers, and of our own assertions.
var defect = regexp.MustCompile(`AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:| bug at=`)

// Ingress is one funnel-ingress with a directory and ports of its own.
type Ingress struct {
	T     testing.TB
	In    *Namespace // nil: that of the test
	Dir   string
	UDP   netip.AddrPort // where its WireGuard is
	TLS   map[int]string // public port -> address to dial
	binds []string       // of all listeners
	cmd   *exec.Cmd      // nil: does not run
	ended chan error     // its exit

	// Written by Start and Reload.
	Config map[string]any
	Files  map[string]any // JSON documents beside it, by name
}

// NewIngress makes one that does not run yet, with a TLS listener for each public port; the feed is the test's to add.
// It ends with the test, which fails if it ended badly.
func NewIngress(t testing.TB, ports ...int) *Ingress { return NewIngressIn(t, nil, ports...) }

// NewIngressIn makes one that will run in a namespace.
func NewIngressIn(t testing.TB, ns *Namespace, ports ...int) *Ingress {
	in := &Ingress{T: t, In: ns, Dir: t.TempDir(), TLS: map[int]string{}, Files: map[string]any{}}
	in.UDP = in.freeAddress()
	in.Config = map[string]any{
		"listen":    []map[string]any{},
		"wireguard": map[string]any{"listen": []string{in.UDP.String()}},
		"limits":    map[string]any{"connections_per_source": 100000, "connections_per_node": 100000},
		"stream":    map[string]any{"half_close_timeout": "1s"},
		"drain":     map[string]any{"timeout": "1s"},
		"log":       map[string]any{"level": "debug", "access": "stdout"},
		"admin":     map[string]any{"socket": "admin.sock"},
		"state_dir": "state",
	}
	for _, port := range ports {
		in.TLS[port] = in.Listen(map[string]any{"protocol": "tls", "public_port": port})
	}
	Must(t, os.Mkdir(in.Path("state"), 0o700))
	t.Cleanup(in.close)
	return in
}

func (in *Ingress) freeAddress() netip.AddrPort {
	return netip.AddrPortFrom(in.In.address(), uint16(FreePort(in.T)))
}

// Listen adds a listener; the address, which is a free one if it names none.
func (in *Ingress) Listen(listener map[string]any) string {
	if _, ok := listener["address"]; !ok {
		listener["address"] = in.freeAddress().String()
	}
	address := listener["address"].(string)
	in.binds = append(in.binds, address)
	in.Config["listen"] = append(in.Config["listen"].([]map[string]any), listener)
	return address
}

func (in *Ingress) Path(name string) string { return filepath.Join(in.Dir, name) }

// write puts configuration and files where the ingress reads them, each in one step.
func (in *Ingress) write(t testing.TB) {
	t.Helper()
	put := func(name string, content any) {
		text, err := json.MarshalIndent(content, "", "  ")
		Must(t, err)
		Must(t, os.WriteFile(in.Path(name+".new"), text, 0o600))
		Must(t, os.Rename(in.Path(name+".new"), in.Path(name)))
	}
	for name, content := range in.Files {
		put(name, content)
	}
	put("ingress.yaml", in.Config)
}

// Start returns when it is ready for visitors.
func (in *Ingress) Start(t testing.TB) {
	t.Helper()
	mark := in.Launch(t)
	in.WaitLog(t, ` server .*event=ready`, mark)
}

// Launch starts it and does not wait; its log from now on is behind mark.
func (in *Ingress) Launch(t testing.TB) (mark int) {
	t.Helper()
	in.write(t)
	mark = len(in.Log())
	out, err := os.OpenFile(in.Path("out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	Must(t, err)
	defer out.Close()
	errors, err := os.OpenFile(in.Path("err"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	Must(t, err)
	defer errors.Close()
	in.cmd = exec.Command(IngressProgram, "-c", "ingress.yaml")
	in.cmd.Dir, in.cmd.Stdout, in.cmd.Stderr = in.Dir, out, errors
	in.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in.In.Do(func() { err = in.cmd.Start() })
	Must(t, err)
	in.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan error) { ended <- cmd.Wait() }(in.cmd, in.ended)
	return mark
}

// Processes are the ids of all that it consists of now.
func (in *Ingress) Processes() []int {
	pids := []int{in.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[i]))
		for _, list := range lists {
			text, _ := os.ReadFile(list)
			for _, field := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(field); err == nil {
					pids = append(pids, pid)
				}
			}
		}
	}
	return pids
}

func (in *Ingress) Runs() bool { return in.cmd != nil }

// Reload has it read configuration and feed again; it must find them right.
func (in *Ingress) Reload(t testing.TB) {
	t.Helper()
	in.write(t)
	mark := len(in.Log())
	Must(t, in.cmd.Process.Signal(syscall.SIGHUP))
	in.WaitLog(t, ` reload .*event=done`, mark)
}

// Stop ends it in order.
func (in *Ingress) Stop(t testing.TB) {
	t.Helper()
	Must(t, in.cmd.Process.Signal(syscall.SIGTERM))
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

// Kill ends it and its server at once: a crash, as nodes see it.
func (in *Ingress) Kill() {
	syscall.Kill(-in.cmd.Process.Pid, syscall.SIGKILL)
	<-in.ended
	in.cmd = nil
	Eventually(in.T, "its server is gone too, and its ports are free", 10*time.Second, func() bool {
		for _, address := range in.binds {
			listener, err := net.Listen("tcp", address)
			if err != nil {
				return false
			}
			listener.Close()
		}
		socket, err := net.ListenPacket("udp", in.UDP.String())
		if err != nil {
			return false
		}
		socket.Close()
		return true
	})
}

func (in *Ingress) close() {
	defer func() { // also when it can't be stopped, because it has ended by itself
		if line := defect.FindString(in.Log()); line != "" {
			in.T.Errorf("the ingress's log has %q", line)
		}
		if in.T.Failed() {
			in.T.Logf("the ingress's log ended so:\n%s", tail(in.Log(), 60))
			in.T.Logf("its access log ended so:\n%s", tail(in.text("out"), 12))
		}
	}()
	if in.Runs() {
		in.Stop(in.T)
	}
}

func (in *Ingress) text(name string) string {
	data, _ := os.ReadFile(in.Path(name))
	return string(data)
}

func (in *Ingress) Log() string { return in.text("err") }

// WaitLog waits for a line of the log behind mark.
func (in *Ingress) WaitLog(t testing.TB, pattern string, mark int) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	Eventually(t, "the ingress logs "+pattern, 15*time.Second, func() bool { return re.MatchString(in.Log()[mark:]) })
}

// Command runs a subcommand of the program on its configuration; what it printed, and its exit status.
func (in *Ingress) Command(t testing.TB, name string, arguments ...string) (output string, status int) {
	t.Helper()
	cmd := exec.Command(IngressProgram, append([]string{name, "-c", "ingress.yaml"}, arguments...)...)
	cmd.Dir = in.Dir
	text, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// Ended is how many visitors have ended so, by its metrics.
func (in *Ingress) Ended(t testing.TB, reason string) int {
	t.Helper()
	return in.Metric(t, fmt.Sprintf("visitors_ended_total{reason=%q}", reason))
}

// Metric is a sample of its metrics: a whole number.
func (in *Ingress) Metric(t testing.TB, name string) int {
	t.Helper()
	text, status := in.Command(t, "metrics")
	_, after, found := strings.Cut(text, "\nfunnel_"+name+" ")
	count, _, _ := strings.Cut(after, "\n")
	n, err := strconv.Atoi(count)
	if status != 0 || !found || err != nil {
		t.Fatalf("no metric %s; status %d of %q", name, status, text)
	}
	return n
}

// Access is a line of the access log.
type Access struct {
	Client, Name, Target, Node, Reason, Detail string
	Port                                       int
	BytesUp                                    int64   `json:"bytes_up"`
	BytesDown                                  int64   `json:"bytes_down"`
	OfferMs                                    float64 `json:"offer_ms"`
}

// Accesses is the access log so far.
func (in *Ingress) Accesses() []Access {
	var all []Access
	for line := range bytes.Lines([]byte(in.text("out"))) {
		var a Access
		if bytes.HasSuffix(line, []byte("\n")) && json.Unmarshal(line, &a) == nil {
			all = append(all, a)
		}
	}
	return all
}

// Access is the line about this visitor behind the first `since`, which comes when the stream has ended.
func (in *Ingress) Access(t testing.TB, client string, since int) (found Access) {
	t.Helper()
	Eventually(t, "an access line about "+client, 10*time.Second, func() bool {
		all := in.Accesses()[since:]
		i := slices.IndexFunc(all, func(a Access) bool { return a.Client == client })
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	})
	return found
}

// Verdict is what a visitor of a name is told, as Handshake says it, and what the access log says of it.
func (in *Ingress) Verdict(t testing.TB, port int, name string) (verdict string, line Access) {
	t.Helper()
	since := len(in.Accesses()) // visitors before may have had the same port
	conn := Dial(t, in.TLS[port])
	verdict = Handshake(conn, name)
	conn.Close()
	return verdict, in.Access(t, conn.LocalAddr().String(), since)
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

var portsGiven sync.Map

// FreePort is free for TCP and UDP, given to nobody else in this run, and below the range that the kernel gives to
// outgoing connections.
func FreePort(t testing.TB) int {
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
