package interop

import (
	"testing"

	"funnel-ingress/tests/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
