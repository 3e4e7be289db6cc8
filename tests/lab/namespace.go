package lab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Address is where the servers of this process are found. Apart from the machine's network a test may choose another.
var Address = netip.MustParseAddr("127.0.0.1")

const inside = "FUNNEL_LAB_APART"

// Apart runs the calling test once more, in a process with a network of its own, in which Apart returns true. Here it
// returns false when that has ended; the verdict is the same.
func Apart(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		if output, err := (*Namespace)(nil).command("ip link set lo up").CombinedOutput(); err != nil {
			NotTested(t, fmt.Sprintf("no network of our own: %v %s", err, output))
		}
		return true
	}
	var levels []string
	for level := range strings.SplitSeq(t.Name(), "/") {
		levels = append(levels, "^"+regexp.QuoteMeta(level)+"$")
	}
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.count=1", "-test.timeout=3m", "-test.run="+strings.Join(levels, "/"))
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		NotTested(t, fmt.Sprintf("no network of our own: %v", err))
	}
	err := cmd.Wait()
	t.Logf("apart:\n%s", output.String())
	switch {
	case err != nil:
		t.Errorf("apart: %v", err)
	case strings.Contains(output.String(), "--- SKIP: "+t.Name()+" "): // has written it down
		t.Skip("NOT TESTED")
	case !strings.Contains(output.String(), "--- PASS: "+t.Name()+" "):
		t.Error("apart it did not run")
	}
	return false
}

// Namespace is a network; nil: that of this process. It is gone when the test and what runs in it have ended.
type Namespace struct {
	Address netip.Addr // its programs' own, once they have one
	handle  *os.File
}

// NewNamespace makes one with nothing but loopback. Only for a test that is apart.
func NewNamespace(t testing.TB) *Namespace {
	t.Helper()
	made := &Namespace{}
	(*Namespace)(nil).Do(func() {
		Must(t, unix.Unshare(unix.CLONE_NEWNET))
		made.handle = current()
	})
	t.Cleanup(func() { made.handle.Close() })
	made.Run(t, "ip link set lo up")
	return made
}

// current is the network of the calling thread.
func current() *os.File {
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		panic(err)
	}
	return file
}

// Do calls f: what sockets it makes, and what programs it starts, are in the namespace.
func (ns *Namespace) Do(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := current()
	defer before.Close()
	defer func() {
		if err := unix.Setns(int(before.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err)
		}
	}()
	if ns != nil {
		if err := unix.Setns(int(ns.handle.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err)
		}
	}
	f()
}

// Path is a file by which programs of this machine find the namespace.
func (ns *Namespace) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.handle.Fd()) }

// Run is a shell script in the namespace that must do; what it printed.
func (ns *Namespace) Run(t testing.TB, script string) string {
	t.Helper()
	var output []byte
	var err error
	ns.Do(func() { output, err = ns.command(script).CombinedOutput() })
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, output)
	}
	return string(output)
}

func (*Namespace) command(script string) *exec.Cmd {
	cmd := exec.Command("sh", "-euc", script)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin") // where an ordinary user's does not look
	return cmd
}

// address is what its programs listen at.
func (ns *Namespace) address() netip.Addr {
	if ns == nil {
		return Address
	}
	return ns.Address
}
