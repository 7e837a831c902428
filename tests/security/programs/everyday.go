// SPDX-License-Identifier: Apache-2.0
// What Go programs do; each prints a line.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Many goroutines, on more threads than processors, with the collector at work.
func goroutines() int {
	var group sync.WaitGroup
	var lock sync.Mutex
	sum := 0
	for i := 0; i < 1000; i++ {
		group.Add(1)
		go func(n int) {
			defer group.Done()
			part := make([]byte, 10000)
			part[n] = 1
			lock.Lock()
			sum += int(part[n])
			lock.Unlock()
			time.Sleep(time.Millisecond)
		}(i)
	}
	group.Wait()
	runtime.GC()
	return sum
}

// A file goes out by whatever io.Copy finds fastest.
func server() int {
	must(os.WriteFile("/tmp/large", bytes.Repeat([]byte("go"), 500000), 0o600))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go http.Serve(listener, http.FileServer(http.Dir("/tmp")))
	answer, err := http.Get("http://" + listener.Addr().String() + "/large")
	must(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(err)
	return len(body)
}

func copied() bool {
	from, err := os.Open("/tmp/large")
	must(err)
	to, err := os.Create("/tmp/copy")
	must(err)
	_, err = io.Copy(to, from)
	must(err)
	must(to.Sync())
	must(to.Close())
	a, _ := os.ReadFile("/tmp/large")
	b, _ := os.ReadFile("/tmp/copy")
	return sha256.Sum256(a) == sha256.Sum256(b)
}

func child() string {
	out, err := exec.Command("sh", "-c", "seq 100 | sort -r | head -1").Output()
	must(err)
	command := exec.Command("cat")
	command.Stdin = bytes.NewBufferString("hello")
	echo, err := command.Output()
	must(err)
	return fmt.Sprintf("%q %q", out, echo)
}

func signalled() string {
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, syscall.SIGUSR1)
	must(syscall.Kill(os.Getpid(), syscall.SIGUSR1))
	return (<-arrived).String()
}

func interfaces() string {
	found, err := net.Interfaces()
	must(err)
	return found[0].Name
}

func main() {
	body, err := io.ReadAll(os.Stdin)
	must(err)
	fmt.Println("body", len(body))
	fmt.Println("goroutines", goroutines())
	fmt.Println("server", server())
	fmt.Println("copied", copied())
	fmt.Println("child", child())
	fmt.Println("signal", signalled())
	fmt.Println("interfaces", interfaces())
}
