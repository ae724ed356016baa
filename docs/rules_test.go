package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What a page says is shown by a test is so as long as there is one of that name.
func TestTestsThatPagesNameAreThere(t *testing.T) {
	declared := map[string]bool{}
	declares := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`)
	must(t, filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range declares.FindAllSubmatch(b, -1) {
			declared[string(m[1])] = true
		}
		return err
	}))
	pages, err := filepath.Glob("*.md")
	must(t, err)
	names, count := regexp.MustCompile("`((?:Test|Benchmark)[A-Z]\\w+)`"), 0
	for _, page := range pages {
		b, err := os.ReadFile(page)
		must(t, err)
		for _, m := range names.FindAllSubmatch(b, -1) {
			if count++; !declared[string(m[1])] {
				t.Errorf("%s names %s, and there is none", page, m[1])
			}
		}
	}
	if count < 100 {
		t.Errorf("the pages name %d tests only", count)
	}
}
