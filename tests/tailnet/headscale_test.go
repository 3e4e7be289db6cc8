package tailnet

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tailscale.com/tailcfg"

	"funnel-ingress/tests/lab"
)

// headscale is the binary that HEADSCALE names, as it is, with SQLite. Its policy allows everything between all
// nodes, which is its default, and knows no funnel: nodes let the ingress in by their environment.
type headscale struct {
	t       testing.TB
	dir     string
	regions []*lab.Region
	address string
	cmd     *exec.Cmd
	mu      sync.Mutex
	users   map[string]string // name -> id
}

const headscaleDomain = "hs.example"

func newHeadscale(t testing.TB, regions ...*lab.Region) *headscale {
	h := &headscale{t: t, dir: t.TempDir(), regions: regions, users: map[string]string{}}
	h.address = fmt.Sprintf("%v:%d", lab.Address, lab.FreePort(t))
	type object = map[string]any
	lab.Must(t, os.WriteFile(h.path("derp.yaml"), derpYAML(t, lab.DERPMap(regions...)), 0o600))
	sockets, err := os.MkdirTemp("", "hs") // a socket's path may have 108 bytes
	lab.Must(t, err)
	t.Cleanup(func() { os.RemoveAll(sockets) })
	config := object{
		"server_url": h.url(), "listen_addr": h.address,
		"metrics_listen_addr": fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t)),
		"grpc_listen_addr":    fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t)),
		"noise":               object{"private_key_path": h.path("noise.key")},
		"prefixes":            object{"v4": "100.64.0.0/10", "v6": "fd7a:115c:a1e0::/48", "allocation": "sequential"},
		"derp": object{"server": object{"enabled": false}, "urls": []string{}, "paths": []string{h.path("derp.yaml")},
			"auto_update_enabled": false, "update_frequency": "24h"},
		"disable_check_updates": true,
		"database":              object{"type": "sqlite", "sqlite": object{"path": h.path("db.sqlite")}},
		"dns": object{"magic_dns": true, "base_domain": headscaleDomain, "override_local_dns": false,
			"nameservers": object{"global": []string{}}},
		"unix_socket": filepath.Join(sockets, "s"), "unix_socket_permission": "0700",
		"logtail": object{"enabled": false}, "log": object{"level": "info", "format": "text"},
		"policy": object{"mode": "file", "path": ""},
	}
	text, err := json.Marshal(config) // JSON is YAML
	lab.Must(t, err)
	lab.Must(t, os.WriteFile(h.path("config.yaml"), text, 0o600))
	h.back(t)
	t.Cleanup(h.away)
	for _, user := range []string{alice, bob} {
		h.run(t, "users", "create", user)
	}
	var users []struct {
		ID   json.Number
		Name string
	}
	lab.Must(t, json.Unmarshal([]byte(h.run(t, "users", "list", "-o", "json")), &users))
	for _, u := range users {
		h.users[u.Name] = u.ID.String()
	}
	return h
}

func (h *headscale) path(name string) string { return filepath.Join(h.dir, name) }

// derpYAML is a DERP map in headscale's words, which are Tailscale's in small letters.
func derpYAML(t testing.TB, m *tailcfg.DERPMap) []byte {
	t.Helper()
	regions := map[string]any{}
	for id, r := range m.Regions {
		n := r.Nodes[0]
		regions[fmt.Sprint(id)] = map[string]any{"regionid": id, "regioncode": r.RegionCode, "regionname": r.RegionName,
			"nodes": []map[string]any{{"name": n.Name, "regionid": id, "hostname": n.HostName, "ipv4": n.IPv4, "ipv6": n.IPv6,
				"stunport": n.STUNPort, "derpport": n.DERPPort, "insecurefortests": n.InsecureForTests,
				"stuntestip": n.STUNTestIP}}}
	}
	text, err := json.Marshal(map[string]any{"regions": regions})
	lab.Must(t, err)
	// region numbers are keys, and numbers
	for id := range m.Regions {
		text = []byte(strings.Replace(string(text), fmt.Sprintf(`"%d":{`, id), fmt.Sprintf(`%d: {`, id), 1))
	}
	return text
}

// run is a command of headscale's, on the running server.
func (h *headscale) run(t testing.TB, arguments ...string) string {
	t.Helper()
	var complaints strings.Builder
	cmd := exec.Command(os.Getenv("HEADSCALE"), append([]string{"-c", h.path("config.yaml")}, arguments...)...)
	cmd.Stderr = &complaints
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("headscale %s: %v\n%s%s", strings.Join(arguments, " "), err, output, complaints.String())
	}
	return string(output)
}

func (h *headscale) url() string         { return "http://" + h.address }
func (h *headscale) region() *lab.Region { return h.regions[0] }
func (h *headscale) domain() string      { return headscaleDomain }
func (h *headscale) grants() bool        { return false }
func (h *headscale) certificates() bool  { return false }

func (h *headscale) authKey(t testing.TB, user string) string {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	var made struct{ Key string }
	text := h.run(t, "preauthkeys", "create", "--user", h.users[user], "--reusable", "-o", "json")
	lab.Must(t, json.Unmarshal([]byte(text), &made))
	return made.Key
}

func (h *headscale) login(user string) string        { return user }
func (h *headscale) owner(_ testing.TB, _, _ string) {}
func (h *headscale) approve(t testing.TB, url, u string) {
	t.Helper()
	id := url[strings.LastIndex(url, "/")+1:]
	if exec.Command(os.Getenv("HEADSCALE"), "auth", "register", "--help").Run() == nil {
		h.run(t, "auth", "register", "--user", u, "--auth-id", id)
	} else { // up to 0.28
		h.run(t, "nodes", "register", "--user", u, "--key", id)
	}
}

// id is "" when it knows no such node.
func (h *headscale) id(t testing.TB, host string) string {
	t.Helper()
	var nodes []struct {
		ID   json.Number
		Name string
	}
	lab.Must(t, json.Unmarshal([]byte(h.run(t, "nodes", "list", "-o", "json")), &nodes))
	for _, n := range nodes {
		if n.Name == host {
			return n.ID.String()
		}
	}
	return ""
}

func (h *headscale) remove(t testing.TB, host string) {
	t.Helper()
	h.run(t, "nodes", "delete", "--identifier", h.id(t, host), "--force")
}

func (h *headscale) expire(t testing.TB, host string) {
	t.Helper()
	h.run(t, "nodes", "expire", "--identifier", h.id(t, host))
}

func (h *headscale) retire(testing.TB) {}

func (h *headscale) away() {
	h.cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		h.cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		h.cmd.Process.Kill()
		<-ended
	}
}

func (h *headscale) back(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(h.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	lab.Must(t, err)
	defer log.Close()
	h.cmd = exec.Command(os.Getenv("HEADSCALE"), "serve", "-c", h.path("config.yaml"))
	h.cmd.Stdout, h.cmd.Stderr = log, log
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	lab.Must(t, h.cmd.Start())
	lab.Eventually(t, "headscale answers", 30*time.Second, func() bool {
		answer, err := http.Get(h.url() + "/health")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}
