//go:build !linux

package main

import (
	"errors"
	"os"
	"syscall"
	"time"
)

var errLinuxOnly = errors.New("only measured on Linux")

func childAttr() *syscall.SysProcAttr { return nil }

func signalGroup(p *os.Process, _ syscall.Signal) error { return p.Kill() }

func cpuTime(int) (time.Duration, error) { return 0, errLinuxOnly }

func memoryOf(int) (memory, error) { return memory{}, errLinuxOnly }

func available() (int64, error) { return 0, errLinuxOnly }

func openFiles() int { return 1024 }

func thisMachine() map[string]string { return map[string]string{} }
