package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const unitFile = "systemd/sortie.service"

// exposure is the most that `systemd-analyze security` may give the unit, in tenths: 0 is none at all, 100 a service as root without a
// fence. What is left is the network, and machine code made at run time.
const exposure = "20"

// hardened are the settings without which the unit isn't what its README says, and their values.
var hardened = map[string]string{
	"DynamicUser": "yes", "StateDirectory": "sortie", "UMask": "0077", "KillSignal": "SIGTERM", "EnvironmentFile": "/etc/sortie/env",
	"CapabilityBoundingSet": "", "AmbientCapabilities": "", "NoNewPrivileges": "yes", "PrivateUsers": "yes", "RestrictSUIDSGID": "yes",
	"RestrictNamespaces": "yes", "RestrictRealtime": "yes", "LockPersonality": "yes", "ProtectSystem": "strict", "ProtectHome": "yes",
	"PrivateTmp": "yes", "PrivateDevices": "yes", "ProtectClock": "yes", "ProtectControlGroups": "yes", "ProtectHostname": "yes",
	"ProtectKernelLogs": "yes", "ProtectKernelModules": "yes", "ProtectKernelTunables": "yes", "ProtectProc": "invisible",
	"RestrictAddressFamilies": "AF_INET AF_INET6", "SystemCallArchitectures": "native",
	"SystemCallFilter": "@system-service ~@privileged @resources", "SystemCallErrorNumber": "EPERM",
	"MemoryDenyWriteExecute": "no", // or plugins are interpreted
}

// others are the keys that the unit has besides. An unknown one is a mistake that systemd only warns of.
var others = []string{
	"ExecReload", "Description", "Documentation", "Wants", "After", "WantedBy", "Type", "ExecStart", "Restart", "RestartSec", "TimeoutStopSec",
	"StateDirectoryMode", "LimitNOFILE", "TasksMax", "MemoryMax", "KeyringMode", "RemoveIPC", "DevicePolicy", "ProcSubset", "IPAddressDeny",
}

// settings are a unit's, by key; those given several times are joined by spaces, as lists are.
func settings(unit string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(unit) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		if earlier := found[key]; earlier != "" {
			value = earlier + " " + value
		}
		found[key] = value
	}
	return found
}

// unitProblems tells what is wrong with a unit.
func unitProblems(unit string) (problems []string) {
	found := settings(unit)
	for key, want := range hardened {
		if got, ok := found[key]; !ok || got != want {
			problems = append(problems, fmt.Sprintf("%s=%s (there: %t), want %s=%s", key, got, ok, key, want))
		}
	}
	for key := range found {
		if _, ok := hardened[key]; !ok && !slices.Contains(others, key) {
			problems = append(problems, "unknown key "+key)
		}
	}
	for _, flag := range []string{" serve ", " --config /etc/sortie/sortie.yaml", " --data %S/sortie"} {
		if !strings.Contains(found["ExecStart"], flag) {
			problems = append(problems, "ExecStart has no"+flag)
		}
	}
	return problems
}

// breakages turn the unit into one that must not pass.
var breakages = map[string][2]string{
	"root":               {"DynamicUser=yes", "DynamicUser=no"},
	"privileges":         {"NoNewPrivileges=yes\n", ""},
	"capabilities":       {"CapabilityBoundingSet=\n", ""},
	"writable":           {"ProtectSystem=strict", "ProtectSystem=full"},
	"system calls":       {"SystemCallFilter=~@privileged @resources\n", ""},
	"sockets":            {"AF_INET AF_INET6", "AF_INET AF_INET6 AF_PACKET"},
	"no compiler":        {"MemoryDenyWriteExecute=no", "MemoryDenyWriteExecute=yes"},
	"no token":           {"EnvironmentFile=/etc", "EnvironmentFile=-/etc"},
	"misspelt key":       {"UMask=", "Umask="},
	"data anywhere else": {"%S/sortie", "/tmp/sortie"},
}

func TestUnit(t *testing.T) {
	t.Parallel()
	unit := read(t, unitFile)
	if problems := unitProblems(unit); len(problems) > 0 {
		t.Errorf("%s:\n%s", unitFile, strings.Join(problems, "\n"))
	}
	for name, b := range breakages {
		if broken := replaced(t, unit, b[0], b[1]); len(unitProblems(broken)) == 0 {
			t.Errorf("%s: no problem was found", name)
		}
	}
}

// TestUnitVerify has systemd itself read the unit, and then one with a mistake.
func TestUnitVerify(t *testing.T) {
	t.Parallel()
	binary, err := os.Executable() // systemd looks whether there is one
	if err != nil {
		t.Fatal(err)
	}
	unit := replaced(t, read(t, unitFile), "/usr/local/bin/sortie", binary)
	if out, err := systemdAnalyze(t, unit, "verify", "--man=no"); err != nil || out != "" {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	broken := replaced(t, unit, "NoNewPrivileges=", "NoNewPrivilege=")
	if out, _ := systemdAnalyze(t, broken, "verify", "--man=no"); !strings.Contains(out, "NoNewPrivilege") {
		t.Errorf("systemd-analyze verify doesn't see a misspelt key:\n%s", out)
	}
}

// TestUnitSecurity has systemd judge what the unit leaves open, and then units that leave open more.
func TestUnitSecurity(t *testing.T) {
	t.Parallel()
	unit := read(t, unitFile)
	args := []string{"security", "--no-pager", "--offline=yes", "--threshold=" + exposure}
	if out, err := systemdAnalyze(t, unit, args...); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
	for name, broken := range map[string]string{
		"capabilities": replaced(t, unit, breakages["capabilities"][0], breakages["capabilities"][1]),
		"no fence":     "[Service]\nExecStart=" + settings(unit)["ExecStart"] + "\n",
	} {
		if _, err := systemdAnalyze(t, broken, args...); err == nil {
			t.Errorf("%s: the exposure is still within %s", name, exposure)
		}
	}
}

func systemdAnalyze(t *testing.T, unit string, args ...string) (string, error) {
	t.Helper()
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze isn't installed (Debian's package systemd has it): the unit was checked by TestUnit alone")
	}
	file := filepath.Join(t.TempDir(), "sortie.service")
	if err := os.WriteFile(file, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), tool, append(args, file)...).CombinedOutput()
	return string(out), err
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// replaced is text with something else in the place of old, which has to be there.
func replaced(t *testing.T, text, old, with string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("there is no %q to replace", old)
	}
	return strings.ReplaceAll(text, old, with)
}
