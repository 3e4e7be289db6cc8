package tailnet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"funnel-ingress/tests/lab"
)

// peer is set when the ingress under test is the one in Go, which has a log and metrics of its own.
var peer = os.Getenv("TAILNET_INGRESS") == "tsnet"

func TestMain(m *testing.M) {
	if peer {
		program, err := filepath.Abs(lab.BuildDirectory("tsnet-ingress"))
		if err == nil {
			err = exec.Command("go", "build", "-o", program, "../bench/peers/tsnet-ingress").Run()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "tsnet-ingress can't be built:", err)
			os.Exit(1)
		}
		lab.IngressProgram = program
	}
	lab.Main(m)
}
