// Package frp names frp's two programs, so that this module pins the whole of what they are built from.
package frp

import (
	_ "github.com/fatedier/frp/cmd/frpc/sub"
	_ "github.com/fatedier/frp/server"
)
