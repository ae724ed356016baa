package snapshot

// A restore under way marks folders with extended attributes of these names. They tell of it and not of the folder, so no version has them, and if one does all the same they
// are not put back.
const (
	RestoringMark        = "trusted.yester.restoring"  // the target,
	RestoringMarkOfUser  = "user.yester.restoring"     // by who may not set the other one
	UnfinishedMark       = "trusted.yester.unfinished" // a folder that has not yet what the version has for it,
	UnfinishedMarkOfUser = "user.yester.unfinished"    // likewise
)

// IsRestoreMark tells whether an extended attribute is one of these.
func IsRestoreMark(name string) bool {
	return name == RestoringMark || name == RestoringMarkOfUser || name == UnfinishedMark || name == UnfinishedMarkOfUser
}
