package control

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// PathText is a path, or a symlink's target, as it stands in JSON: names are bytes, and what is not UTF-8, or begins with a quote, is a quoted string
// as Go writes it, "/home/\xff".
func PathText(path string) string {
	if utf8.ValidString(path) && !strings.HasPrefix(path, `"`) {
		return path
	}
	return strconv.Quote(path)
}

// ParsePath is the reverse of PathText.
func ParsePath(text string) (string, error) {
	if !strings.HasPrefix(text, `"`) {
		return text, nil
	}
	path, err := strconv.Unquote(text)
	if err != nil {
		return "", fmt.Errorf("%s is no quoted path: %w", text, err)
	}
	return path, nil
}

// PatternTexts are patterns as they stand in JSON, see PathText.
func PatternTexts(patterns []string) []string {
	all := make([]string, 0, len(patterns))
	for _, p := range patterns {
		all = append(all, PathText(p))
	}
	return all
}

// ParsePatterns is the reverse of PatternTexts.
func ParsePatterns(texts []string) ([]string, error) {
	all := make([]string, 0, len(texts))
	for _, t := range texts {
		p, err := ParsePath(t)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}
