// Package tailnet measures an ingress that a coordination server feeds: the time from a cold start to the first visitor
// served, the first byte over DERP and directly, and what a large tailnet costs. tests/bench/tailnet.sh runs it.
package tailnet

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tailscale.com/envknob"
	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"

	"funnel-ingress/tests/lab"
)

const (
	port   = 443
	suffix = "bench.example.net"
	noUDP  = "TS_DEBUG_NEVER_DIRECT_UDP"
	crowd  = 10000 // nodes of the large tailnet
)

// figure is a row of the JSON that all benchmarks write (design, section 13).
type figure struct {
	Measure string  `json:"measure"`
	Subject string  `json:"subject"`
	Median  float64 `json:"median"`
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	Unit    string  `json:"unit"`
	Path    string  `json:"path,omitempty"`
	Nodes   int     `json:"nodes,omitempty"`
	State   string  `json:"state,omitempty"`
}

var figures []figure

func add(f figure, values ...float64) {
	slices.Sort(values)
	f.Subject, f.Median, f.Min, f.Max = subject, values[len(values)/2], values[0], values[len(values)-1]
	figures = append(figures, f)
	fmt.Printf("%-26s %-16s %12.3f %-8s (%.3f to %.3f) %s\n", f.Measure, f.Subject, f.Median, f.Unit, f.Min, f.Max,
		strings.TrimSpace(fmt.Sprint(f.Path, " ", f.State)))
}

// subject is what is measured now: a program that is in the path which FIGURES_SUBJECTS gives it, as name=path.
var subject string

func TestMain(m *testing.M) {
	if os.Getenv("FIGURES_SUBJECTS") == "" {
		fmt.Println("run tests/bench/tailnet.sh")
		return
	}
	lab.Main(m)
}

func TestFigures(t *testing.T) {
	repeats, _ := strconv.Atoi(os.Getenv("FIGURES_REPEATS"))
	for item := range strings.SplitSeq(os.Getenv("FIGURES_SUBJECTS"), ",") {
		var program string
		subject, program, _ = strings.Cut(item, "=")
		lab.IngressProgram = program
		t.Run(subject+": starts", func(t *testing.T) { starts(t, repeats) })
		t.Run(subject+": first bytes", func(t *testing.T) { firstBytes(t, 10*repeats) })
		t.Run(subject+": a large tailnet", func(t *testing.T) { large(t) })
	}
	if file := os.Getenv("FIGURES_JSON"); file != "" {
		text, err := json.MarshalIndent(figures, "", " ")
		lab.Must(t, err)
		lab.Must(t, os.WriteFile(file, append(text, '\n'), 0o644))
	}
}

func newControl(t *testing.T) *lab.Control {
	control := lab.NewControl(t, []int{port}, lab.NewRegion(t, 1))
	control.AllOnline, control.AllNodesSameUser = true, true
	return control
}

// addWeb joins a node that answers visitors with a byte behind TLS.
func addWeb(t *testing.T, control *lab.Control) *lab.Node {
	web := lab.NewNode(t, "web", control.BaseURL(), &lab.Tsnet{})
	web.Start(t)
	web.Up(t)
	certificate := lab.CA.Issue(t, "web."+suffix)
	web.Serve(t, &ipn.ServeConfig{
		AllowFunnel: map[ipn.HostPort]bool{ipn.HostPort(fmt.Sprintf("%s:%d", web.Name, port)): true},
		TCP:         map[uint16]*ipn.TCPPortHandler{port: {TCPForward: lab.ServeConns(t, lab.OverTLS(certificate, lab.Echo))}},
	})
	lab.Eventually(t, "control knows of the funnel and the node's home", 20*time.Second, func() bool {
		n := control.Node(web.Key)
		return n.Hostinfo.IngressEnabled() && n.HomeDERP != 0 && lab.PeerapiPort(n) != 0 && lab.LoopbackEndpoint(n) != ""
	})
	return web
}

func newIngress(t *testing.T, control *lab.Control) *lab.Ingress {
	in := lab.NewIngress(t, port)
	lab.Must(t, os.WriteFile(in.Path("authkey"), []byte("tskey-auth-bench\n"), 0o600))
	in.Config["feed"] = map[string]any{"type": "tailnet", "url": control.BaseURL(), "tailnet": map[string]any{
		"hostname": "funnel-ingress", "auth_key_file": "authkey", "public_suffix": suffix, "ports": []int{port},
		"users": []string{"user-123@fake-control.example.net"}}}
	in.Config["log"] = map[string]any{"level": "info", "access": "stdout"}
	return in
}

// visit is one visitor; how long it took to the first byte from behind the node, or not served.
func visit(in *lab.Ingress) (took time.Duration, served bool) {
	began := time.Now()
	session, err := tls.Dial("tcp", in.TLS[port], lab.Trusting("web."+suffix))
	if err != nil {
		return 0, false
	}
	defer session.Close()
	session.SetDeadline(time.Now().Add(lab.VisitTimeout))
	answer := make([]byte, 1)
	session.Write([]byte("x"))
	if _, err := session.Read(answer); err != nil {
		return 0, false
	}
	return time.Since(began), true
}

func awaitServed(t *testing.T, in *lab.Ingress) {
	t.Helper()
	lab.Eventually(t, "visitors are served", 60*time.Second, func() bool {
		_, served := visit(in)
		return served
	})
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// starts: from the start of the program to the first byte that a visitor gets from behind a node; as a new node of the
// tailnet, and again with the state kept.
func starts(t *testing.T, repeats int) {
	control := newControl(t)
	addWeb(t, control)
	times := map[string][]float64{}
	for range repeats {
		in := newIngress(t, control)
		for _, state := range []string{"new", "kept"} {
			began := time.Now()
			in.Launch(t)
			awaitServed(t, in)
			times[state] = append(times[state], ms(time.Since(began)))
			in.Stop(t)
		}
	}
	for _, state := range []string{"new", "kept"} {
		add(figure{Measure: "tailnet_start_ms", Unit: "ms", State: state}, times[state]...)
	}
}

// firstBytes: a visitor's time to the first byte from behind the node, with the session up.
func firstBytes(t *testing.T, visits int) {
	control := newControl(t)
	in := newIngress(t, control)
	in.Launch(t)
	envknob.Setenv(noUDP, "true") // only now: the ingress would inherit it
	defer envknob.Setenv(noUDP, "")
	web := addWeb(t, control)
	for _, path := range []string{"derp", "direct"} {
		if path == "direct" {
			envknob.Setenv(noUDP, "")
			lab.Eventually(t, "the node goes direct", 60*time.Second, func() bool {
				visit(in)
				return lab.Direct(t, web, "funnel-ingress") != ""
			})
		}
		awaitServed(t, in)
		var times []float64
		for range visits {
			took, served := visit(in)
			if !served {
				t.Fatal("a visitor was not served")
			}
			times = append(times, ms(took))
		}
		add(figure{Measure: "ttfb_ms", Unit: "ms", Path: path}, times...)
	}
}

// large: what the whole map costs until it is digested, and then to do nothing.
func large(t *testing.T) {
	control := newControl(t)
	web := control.Node(addWeb(t, control).Key)
	in := newIngress(t, control)
	in.Launch(t)
	awaitServed(t, in)
	nodes := control.AllNodes()
	self := nodes[slices.IndexFunc(nodes, func(n *tailcfg.Node) bool { return strings.HasPrefix(n.Name, "funnel-ingress.") })]
	netmap, err := control.MapResponse(&tailcfg.MapRequest{NodeKey: self.Key})
	lab.Must(t, err)
	for i := range crowd { // not by control itself, which would tell everybody of each
		netmap.Peers = append(netmap.Peers, stranger(web, i))
	}
	if !control.AddRawMapResponse(self.Key, netmap) {
		t.Fatal("the ingress does not listen to control")
	}
	tree := in.Processes()
	if strings.HasPrefix(subject, "funnel-ingress") { // the other has no way to say that it is done
		lab.Eventually(t, "all nodes are in force", 60*time.Second, func() bool {
			status, _ := in.Command(t, "status")
			return strings.Contains(status, fmt.Sprintf("nodes       %d,", crowd+1))
		})
	}
	time.Sleep(5 * time.Second)
	awaitServed(t, in)
	cpu, memory := use(t, tree)
	add(figure{Measure: "tailnet_start_cpu_s", Unit: "s", Nodes: crowd}, cpu)
	add(figure{Measure: "tailnet_memory_mib", Unit: "MiB", Nodes: crowd}, memory/(1<<20))
	const idle = 10 * time.Second
	time.Sleep(idle)
	after, _ := use(t, tree)
	add(figure{Measure: "tailnet_idle_cpu_pct", Unit: "%", Nodes: crowd}, 100*(after-cpu)/idle.Seconds())
}

// stranger is a node of the tailnet like most: of the same user, with an endpoint, and asleep.
func stranger(like *tailcfg.Node, i int) *tailcfg.Node {
	id := tailcfg.NodeID(1000 + i)
	addresses := []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 100, byte(i >> 8), byte(i)}), 32),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0, 1, 14: byte(i >> 8), 15: byte(i)}), 128),
	}
	n := like.Clone()
	n.ID, n.StableID, n.Name = id, tailcfg.StableNodeID(fmt.Sprintf("STRANGER%08x", int(id))), fmt.Sprintf("n%d.%s.", i, lab.Domain)
	n.Key, n.DiscoKey, n.Machine = key.NewNode().Public(), key.NewDisco().Public(), key.NewMachine().Public()
	n.Addresses, n.AllowedIPs = addresses, addresses
	n.Endpoints = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 41641),
		netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, byte(i >> 8), byte(i)}), 41641)}
	return n
}

// use is what processes have used: seconds of CPU, and bytes that are resident now.
func use(t *testing.T, pids []int) (cpu, memory float64) {
	t.Helper()
	for _, pid := range pids {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, task := range tasks {
			text, _ := os.ReadFile(task)
			ns, _ := strconv.ParseFloat(string(bytes.Fields(text)[0]), 64)
			cpu += ns / 1e9
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		lab.Must(t, err)
		pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
		memory += float64(pages * syscall.Getpagesize())
	}
	return cpu, memory
}
